"""Run folders read back: the finished ones, and what became of the others."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import yaml

from hymtl import predictions
from hymtl.errors import HymtlError
from hymtl.predictions import Prediction

RESULT, FAILURE = "result.json", "failure.json"
_NEEDED = {  # what every record has had from the first
    "strategy": str, "seed": int, "epochs": int, "dataset.name": str, "dataset.digest": str, "dataset.train": int,
    "dataset.val": int, "backbone.name": str, "best.epoch": int, "best.val_acc": float, "seconds.fit": float,
    "bytes.float": int, "optim": dict, "scheduler": dict, "options": dict,
}  # fmt: skip
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster, where PyYAML was built with libyaml


@dataclass(frozen=True)
class Run:
    """A finished run, as its folder keeps it. Accuracies are fractions, sizes bytes, times seconds.

    ``config`` has dotted names and is None where the run kept no ``.hydra/config.yaml``; ``predictions`` are empty
    for runs older than ``predictions.csv``.
    """

    folder: Path
    result: dict
    config: dict[str, object] | None
    overrides: tuple[str, ...]
    predictions: list[Prediction] = field(repr=False)

    @property
    def seed(self) -> int:
        return self.result["seed"]

    @property
    def split(self) -> dict:
        """``folds`` and ``fold`` of a cross-validated run, else empty."""
        split = self.result.get("data_split") or {}
        return split if split.get("folds") else {}

    @property
    def test_fraction(self) -> float:
        """The share of the photos set aside for a test, with or without folds."""
        return (self.result.get("data_split") or {}).get("test_fraction") or 0.0

    @cached_property
    def accuracy(self) -> float:
        """The validation accuracy of what is deployed: the int8 network's where there is one."""
        return (self.result.get("int8") or self.result["best"])["val_acc"]

    @property
    def test_accuracy(self) -> float | None:
        return (self.result.get("test") or {}).get("acc")

    @property
    def photos(self) -> int:
        """How many photos it was scored on."""
        return len(self.predictions) or self.result["dataset"]["val"]

    @property
    def size(self) -> int:
        """What the deployed weights take."""
        return self.result["bytes"].get("int8") or self.result["bytes"]["float"]

    @property
    def latency(self) -> float | None:
        """What one photo takes on the CPU; None for runs older than this measure."""
        return self.result["seconds"].get("photo")


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
    if not found.runs and not found.absent:
        where = ", ".join(map(str, folders)) or "no folder"
        raise HymtlError(f"No run in {where}: a run's folder holds {RESULT}. Train one with `python train.py`.")
    return found


def _run_folders(root: Path) -> Iterator[Path]:
    for folder, inside, files in os.walk(root.resolve()):
        if RESULT in files or FAILURE in files or ".hydra" in inside:
            yield Path(folder)
        inside[:] = [name for name in inside if name not in (".hydra", "artifact", "checkpoints", "pictures")]


def _read(folder: Path, found: Found) -> None:
    overrides = tuple(map(str, _optional(_overrides, folder / ".hydra" / "overrides.yaml", found) or ()))
    try:
        if (folder / RESULT).is_file():
            found.runs.append(_run(folder, overrides, found))
        elif (folder / FAILURE).is_file():
            failure = _json(folder / FAILURE)
            error = str(failure.get("error") or "no reason recorded")
            found.absent.append(Absent(folder, "failed", error, tuple(map(str, failure.get("overrides") or overrides))))
        else:
            found.absent.append(Absent(folder, "unfinished", f"no {RESULT}: still running, or interrupted", overrides))
    except HymtlError as error:
        found.absent.append(Absent(folder, "unreadable", str(error), overrides))


def _run(folder: Path, overrides: tuple[str, ...], found: Found) -> Run:
    result = _json(folder / RESULT)
    needed = _NEEDED | ({"int8.val_acc": float, "bytes.int8": int} if result.get("int8") else {})
    for name, kind in needed.items():
        value = result
        for key in name.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, (int, float) if kind is float else kind):
            raise HymtlError(
                f"{folder / RESULT}: {name} is missing or no {kind.__name__}. Remove the folder or rerun it."
            )
    config = _optional(_config, folder / ".hydra" / "config.yaml", found)
    guesses = _optional(predictions.read, folder / predictions.FILE, found) or []
    run = Run(folder, result, config, overrides, guesses)
    if guesses:
        right = sum(guess.label == guess.guess for guess in guesses) / len(guesses)
        if abs(right - run.accuracy) > 0.5 / len(guesses):
            found.warnings.append(
                f"{folder / predictions.FILE} has an accuracy of {right:.4f} and {RESULT} beside it of "
                f"{run.accuracy:.4f}: one of them is of another run. The predictions are left out."
            )
            return Run(folder, result, config, overrides, [])
    return run


def _json(file: Path) -> dict:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise HymtlError(f"{file} cannot be read: {error}. Remove the folder or rerun it.") from error
    if not isinstance(content, dict):
        raise HymtlError(f"{file} is no record: expected a JSON object. Remove the folder or rerun it.")
    return content


def _optional(read, file: Path, found: Found):
    """What ``read`` makes of a file that a run may lack; one that is there and broken is warned about."""
    if not file.is_file():
        return None
    try:
        return read(file)
    except (OSError, ValueError, StopIteration, AttributeError, TypeError, yaml.YAMLError) as error:
        found.warnings.append(f"{file} cannot be read and is left out: {error or type(error).__name__}")
        return None


def _overrides(file: Path) -> list:
    return yaml.load(file.read_text(), _LOADER)


def _config(file: Path) -> dict[str, object]:
    return dict(flat(yaml.load(file.read_text(), _LOADER)))


def flat(config: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Dotted names and values of a nested config."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
