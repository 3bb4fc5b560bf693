"""What folds say of the photos that they held out: the validation of a network that trained on all of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from hymtl import records
from hymtl.data.photos import PhotoFolder
from hymtl.deploy.evaluation import Score
from hymtl.records import predictions, result
from hymtl.records.result import Best, Result

LEAST = 5e-7  # of a probability in predictions.csv, which has six digits


@dataclass(frozen=True)
class HeldOut:
    """Of folds that trained alike: ``logits`` by photo, up to a constant each, and ``best``, the means of theirs."""

    logits: dict[str, list[float]]
    best: Best

    def arranged(self, photos: PhotoFolder) -> PhotoFolder:
        """The same photos, of which those that a fold held out are to validate, whatever trains."""
        known = [photo for photo in (*photos.splits["train"], *photos.unused) if photo.name in self.logits]
        return replace(photos, splits=photos.splits | {"val": known})

    def score(self, photos: PhotoFolder) -> Score:
        """Of the photos that validate, in their order; without features, as no one network has seen them all."""
        split = photos.splits["val"]
        logits = torch.tensor([self.logits[photo.name] for photo in split])
        labels = torch.tensor([photo.label for photo in split])
        return Score(torch.empty(len(split), 0), logits, labels)


def read(folders: Sequence[Path]) -> HeldOut:
    """What the runs in ``folders``, one a fold, recorded."""
    logits: dict[str, list[float]] = {}
    made = [records.read(Result, folder / result.FILE) for folder in folders]
    for folder, run in zip(folders, made, strict=True):
        calibration = run.deployed_calibration
        temperature = calibration.temperature if calibration else 1.0
        for guess in predictions.read(folder / predictions.FILE):
            given = guess.probabilities.values()
            logits[guess.photo] = [temperature * math.log(max(LEAST, value)) for value in given]
    return HeldOut(logits, _mean(made))


def _mean(made: Sequence[Result]) -> Best:
    """Over photos."""

    def over(values: Sequence[float | None]) -> float | None:
        known = [(value, run.dataset.val) for value, run in zip(values, made, strict=True) if value is not None]
        return sum(value * photos for value, photos in known) / sum(photos for _, photos in known) if known else None

    return Best(
        epoch=0,
        val_acc=over([run.best.val_acc for run in made]) or 0.0,
        val_loss=over([run.best.val_loss for run in made]),
        balanced_acc=over([run.best.balanced_acc for run in made]),
        monitor="the last epoch",
    )
