"""Run folders read back: the finished ones, and what became of the others."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hymtl import records
from hymtl.errors import HymtlError
from hymtl.records import benchmark, failure, plain, predictions, result
from hymtl.records.benchmark import Benchmark
from hymtl.records.failure import Failure
from hymtl.records.predictions import Guess
from hymtl.records.result import Result, Split
from hymtl.runtime import train_command

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """A finished run, as its folder keeps it. Accuracies are fractions, sizes bytes, times seconds.

    ``config`` has dotted names and is None where the run kept no ``.hydra/config.yaml``; ``predictions`` are empty
    for runs older than ``predictions.csv``; ``benchmark`` is None until `hymtl benchmark` timed the run.
    """

    folder: Path
    result: Result
    config: dict[str, object] | None
    overrides: tuple[str, ...]
    predictions: list[Guess] = field(repr=False)
    benchmark: Benchmark | None = None

    @property
    def seed(self) -> int:
        return self.result.seed

    @property
    def split(self) -> Split:
        """How the photos were split anew, with or without folds."""
        return self.result.data_split or Split()

    @property
    def accuracy(self) -> float:
        """The validation accuracy of what is deployed: the int8 network's where there is one."""
        return self.result.accuracy

    @property
    def test_accuracy(self) -> float | None:
        return self.result.test.acc if self.result.test else None

    @property
    def photos(self) -> int:
        """How many photos it was scored on."""
        return len(self.predictions) or self.result.dataset.val

    @property
    def size(self) -> int:
        """What the deployed weights take."""
        return self.result.bytes.int8 or self.result.bytes.float32

    @property
    def latency(self) -> float | None:
        """What one photo takes, by `hymtl benchmark` alone: a time taken as training ends has all else in it that the
        machine did meanwhile."""
        time = self.benchmark and self.benchmark.latency
        return time.median if time else None


@dataclass(frozen=True)
class Absent:
    """A run without a usable result: ``status`` is failed, unfinished or unreadable; ``error`` says why."""

    folder: Path
    status: str
    error: str
    overrides: tuple[str, ...]


@dataclass
class Found:
    """What lies below some folders; ``warnings`` name files that were left out."""

    runs: list[Run] = field(default_factory=list)
    winners: list[Run] = field(default_factory=list)  # trained on all folds once these had chosen: none of the rows
    absent: list[Absent] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def find(folders: Iterable[Path]) -> Found:
    """All runs in or below ``folders``, by path; a folder reached twice counts once.

    Raises:
        HymtlError: if a folder is missing, or no run is found at all.
    """
    folders = list(folders)
    for folder in folders:
        if not folder.is_dir():
            raise HymtlError(f"{folder}: there is no such folder. Give run folders, or folders that contain them.")
    found = Found()
    for run_folder in sorted({inside for folder in folders for inside in _run_folders(folder)}):
        _read(run_folder, found)
    found.runs = found.runs or found.winners
    if not found.runs and not found.absent:
        where = ", ".join(map(str, folders)) or "no folder"
        raise HymtlError(f"No run in {where}: a run's folder holds {result.FILE}. Train one with `{train_command()}`.")
    return found


def _run_folders(root: Path) -> Iterator[Path]:
    for folder, inside, files in os.walk(root.resolve()):
        if result.FILE in files or failure.FILE in files or ".hydra" in inside:
            yield Path(folder)
        inside[:] = [name for name in inside if name not in (".hydra", "artifact", "checkpoints", "pictures")]


def _read(folder: Path, found: Found) -> None:
    overrides = tuple(map(str, _optional(_overrides, folder / ".hydra" / "overrides.yaml", found) or ()))
    try:
        if (folder / result.FILE).is_file():
            run = _run(folder, overrides, found)
            (found.winners if run.split.folds and run.split.fold is None else found.runs).append(run)
        elif (folder / failure.FILE).is_file():
            failed = records.read(Failure, folder / failure.FILE)
            found.absent.append(Absent(folder, "failed", failed.error, tuple(failed.overrides) or overrides))
        else:
            error = f"no {result.FILE}: still running, or interrupted"
            found.absent.append(Absent(folder, "unfinished", error, overrides))
    except HymtlError as error:
        found.absent.append(Absent(folder, "unreadable", str(error), overrides))


def _run(folder: Path, overrides: tuple[str, ...], found: Found) -> Run:
    record = records.read(Result, folder / result.FILE)
    config = _optional(_config, folder / ".hydra" / "config.yaml", found)
    guesses = _optional(predictions.read, folder / predictions.FILE, found) or []
    timed = _optional(_benchmark, folder / benchmark.FILE, found)
    run = Run(folder, record, config, overrides, guesses, timed)
    if guesses:
        right = sum(guess.label == guess.guess for guess in guesses) / len(guesses)
        if abs(right - run.accuracy) > 0.5 / len(guesses):
            found.warnings.append(
                f"{folder / predictions.FILE} has an accuracy of {right:.4f} and {result.FILE} beside it of "
                f"{run.accuracy:.4f}: one of them is of another run. The predictions are left out."
            )
            return Run(folder, record, config, overrides, [], timed)
    return run


def _optional(read: Callable[[Path], T], file: Path, found: Found) -> T | None:
    """What ``read`` makes of a file that a run may lack; one that is there and broken is warned about."""
    if not file.is_file():
        return None
    try:
        return read(file)
    except (HymtlError, OSError, ValueError, AttributeError, TypeError) as error:
        found.warnings.append(f"{file} cannot be read and is left out: {error or type(error).__name__}")
        return None


def _overrides(file: Path) -> list:
    words = plain.read(file)
    if not isinstance(words, list):
        raise HymtlError(f"{file} is no list of overrides.")
    return words


def _benchmark(file: Path) -> Benchmark:
    return records.read(Benchmark, file)


def _config(file: Path) -> dict[str, object]:
    read = plain.read(file)
    if not isinstance(read, dict):
        raise HymtlError(f"{file} is no config.")
    config = dict(flat(read))
    return {name: _resolved(name, value, config) for name, value in config.items()}


def _resolved(name: str, value: object, config: dict[str, object]) -> object:
    """The value that ``${SETTING}``, or ``${.NEIGHBOUR}``, stands for; those of Hydra's own, and texts, as they are."""
    found = re.fullmatch(r"\$\{(\.?)([\w.]+)\}", value) if isinstance(value, str) else None
    if found is None:
        return value
    section = name.rpartition(".")[0] if found[1] else ""
    return config.get(f"{section}.{found[2]}" if section else found[2], value)


def flat(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Dotted names and values of a nested config."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
