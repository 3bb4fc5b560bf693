"""The end of a sweep: one comparison of all its jobs, and an exit code that tells whether any failed."""

import importlib
import shlex
import sys
from pathlib import Path

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from hymtl import records, signals
from hymtl.records import failure, result


class CompareAtTheEnd(Callback):
    """A Hydra callback. It runs where the sweep was started and sees the jobs by their files alone.

    Hydra itself stops at the first failure; here jobs leave ``failure.json`` and come back as done, so that
    this is called at the end in any case but an interruption.
    """

    def __init__(self) -> None:
        self.earlier: dict[Path, int] = {}

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        """Notes which failures are those of an earlier attempt."""
        _check_sweeper(config.hydra.sweeper._target_)
        signals.go_on_with(_command(config.hydra.sweep.dir))
        self.earlier = _failures(Path(config.hydra.sweep.dir))

    def on_multirun_end(self, config: DictConfig, **kwargs: object) -> None:
        """Print the comparison, then exit with code 1 if a job of this attempt failed, naming each."""
        sweep = Path(config.hydra.sweep.dir)
        failed = sorted(file for file, when in _failures(sweep).items() if self.earlier.get(file) != when)
        try:
            _compare(sweep)
        finally:
            if failed:
                print(_said(failed, sweep), file=sys.stderr)
                sys.exit(1)  # Hydra would turn any other exception of a callback into a warning


def _compare(sweep: Path) -> None:
    from hymtl.compare.comparison import (
        compare,  # here, so that a single run does not wait for it
    )

    folders = {file.parent for name in (result.FILE, failure.FILE) for file in sweep.rglob(name)}
    if folders:
        print(compare(sorted(folders), sweep))


def _failures(sweep: Path) -> dict[Path, int]:
    """Each failure record and when it was written."""
    return {file: file.stat().st_mtime_ns for file in sweep.rglob(failure.FILE)}


def _said(failed: list[Path], sweep: Path) -> str:
    lines = [f"{file.parent.relative_to(sweep)}: {records.read(failure.Failure, file).error}" for file in failed]
    jobs = "job" if len(failed) == 1 else "jobs"
    remedy = f"The same command with hydra.sweep.dir={sweep} tries again:"
    return "\n".join([f"{len(failed)} {jobs} failed. {remedy}", *lines])


def _command(sweep: str) -> str:
    """What goes on with a sweep: the command that began it, in the same folder."""
    words = [word for word in sys.argv[1:] if not word.startswith("hydra.sweep.dir=")]
    return shlex.join(["python", "train.py", *words, f"hydra.sweep.dir={sweep}"])


def _check_sweeper(target: str) -> None:
    """Say how to install what a search needs, where Hydra would only call the plugin unknown."""
    try:
        importlib.import_module(target.rpartition(".")[0])
    except ImportError as error:
        print(f'hydra/sweeper needs {target} ({error}): pip install -e ".[search]"', file=sys.stderr)
        sys.exit(1)
