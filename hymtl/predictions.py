"""What a run's deployed network said of each photo, ``predictions.csv``: runs can be compared photo by photo."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # reading needs no torch
    from hymtl.data.photos import Photo
    from hymtl.evaluation import Score

FILE = "predictions.csv"


@dataclass(frozen=True)
class Prediction:
    """``photo`` is its path below the dataset's folder; ``probabilities`` are in the order of the classes."""

    photo: str
    label: str
    guess: str
    probabilities: dict[str, float]


def write(file: Path, photos: list[Photo], classes: list[str], score: Score) -> None:
    """One row a photo, in the order of ``score``: photo, label, guess, then the probability of each class."""
    with file.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["photo", "label", "guess", *(f"p({name})" for name in classes)])
        for photo, probabilities in zip(photos, score.logits.softmax(dim=1), strict=True):
            guess = classes[int(probabilities.argmax())]
            rows.writerow([photo.name, classes[photo.label], guess, *(f"{p:.6f}" for p in probabilities.tolist())])


def read(file: Path) -> list[Prediction]:
    """The rows of a file that :func:`write` wrote."""
    with file.open(newline="") as stream:
        rows = csv.reader(stream)
        classes = [column.removeprefix("p(").removesuffix(")") for column in next(rows)[3:]]
        return [
            Prediction(photo, label, guess, dict(zip(classes, map(float, probabilities), strict=True)))
            for photo, label, guess, *probabilities in rows
        ]
