"""The end of a sweep: one comparison of all its jobs, and an exit code that tells whether any failed."""

import atexit
import os
import shlex
import sys
import traceback
from pathlib import Path

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from hymtl import signals
from hymtl.errors import HymtlError, printable
from hymtl.records import failure, job, result
from hymtl.runtime import train_command

typed: list[str] = []  # the command line, before anything was added to it


class CompareAtTheEnd(Callback):
    """A Hydra callback. It runs where the sweep was started and sees the jobs by their files alone.

    Hydra itself stops at the first failure; here jobs leave ``failure.json`` and come back as done, so that
    this is called at the end in any case but an interruption.
    """

    def __init__(self) -> None:
        self.earlier: dict[Path, int] = {}

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        """Notes which failures are those of an earlier attempt."""
        signals.go_on_with(_command(config.hydra.sweep.dir))
        atexit.register(self._cut_short, Path(config.hydra.sweep.dir), os.getpid())
        self.earlier = _failures(Path(config.hydra.sweep.dir))

    def on_multirun_end(self, config: DictConfig, **kwargs: object) -> None:
        """Print the comparison, then exit with code 1 if it or a job of this attempt failed, naming each."""
        atexit.unregister(self._cut_short)
        if not self._told(Path(config.hydra.sweep.dir)):
            sys.exit(1)  # Hydra would turn any other exception of a callback into a warning

    def _told(self, sweep: Path) -> bool:
        """Whether nothing failed."""
        failed, compared = self._failed(sweep), False
        try:
            _compare(sweep)
            compared = True
        except HymtlError as error:
            print(f"hymtl: {error}", file=sys.stderr)
        except Exception:
            traceback.print_exc()
        if failed:
            print(_said(failed, sweep), file=sys.stderr)
        return compared and not failed

    def _failed(self, sweep: Path) -> list[Path]:
        """The failures of this attempt."""
        return sorted(file for file, when in _failures(sweep).items() if self.earlier.get(file) != when)

    def _cut_short(self, sweep: Path, process: int) -> None:
        """As the process ends without having come here: a worker was killed, or a search found nothing that works."""
        if os.getpid() != process or signals.stopped():  # forked; or it was said as the signal came
            return
        if unfinished := _unfinished(sweep):
            jobs = "".join(f"\n{folder.relative_to(sweep)}" for folder in unfinished)
            print(
                f"The sweep was cut short, and these jobs with it:{jobs}\n"
                f"The same command with hydra.sweep.dir={sweep} goes on where they were.",
                file=sys.stderr,
            )
        elif self._failed(sweep):
            self._told(sweep)


def _unfinished(sweep: Path) -> list[Path]:
    """Folders of jobs that began and came to no end, but those that a race itself stopped."""
    begun = (file.parent for file in sorted(sweep.rglob(job.FILE)))
    ended = (result.FILE, failure.FILE)
    return [
        folder for folder in begun if not any((folder / name).exists() for name in ended) and not job.stopped(folder)
    ]


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
    lines = [f"{file.parent.relative_to(sweep)}: {failure.error(file.parent)}" for file in failed]
    jobs = "job" if len(failed) == 1 else "jobs"
    remedy = f"The same command with hydra.sweep.dir={sweep} tries again:"
    return printable("\n".join([f"{len(failed)} {jobs} failed. {remedy}", *lines]))


def _command(sweep: str) -> str:
    """What goes on with a sweep: the command that began it, in the same folder."""
    words = [word for word in typed or sys.argv[1:] if not word.startswith("hydra.sweep.dir=")]
    return f"{train_command()} {shlex.join([*words, f'hydra.sweep.dir={sweep}'])}"
