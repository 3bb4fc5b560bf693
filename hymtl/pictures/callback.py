"""Draw what a run did, once, when fitting ends."""

import io
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torchmetrics.functional.classification import multiclass_confusion_matrix

from hymtl.callbacks.history import History
from hymtl.data import transforms
from hymtl.data.batches import PictureBatches
from hymtl.deploy import evaluation
from hymtl.deploy.convert import Deployed
from hymtl.files import writing
from hymtl.pictures import figures

GRID = 24  # photos in a grid


class Pictures(pl.Callback):
    """PNG files in ``dirpath`` and images in TensorBoard, of the network that is deployed.

    ``batch`` (augmented training pictures), ``predictions`` (validation photos, first those that int8 flipped),
    ``mistakes`` (the most confident ones), ``confusion``, ``curves`` and, where the strategy quantizes,
    ``int8_cost``. It uses the scores of what was deployed, so nothing is run again but the decoding of the photos
    shown.
    """

    def __init__(self, dirpath: str) -> None:
        self.dirpath = Path(dirpath)

    @rank_zero_only
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if pl_module.deployed is None:
            return
        drawn = self._draw(trainer, list(pl_module.hparams.classes), pl_module.deployed)
        self.dirpath.mkdir(parents=True, exist_ok=True)
        for name, figure in drawn.items():
            drawing = Image.fromarray(figures.pixels(figure))
            with writing(self.dirpath / f"{name}.png") as out:
                drawing.save(out, "PNG", compress_level=1)  # a third of the time for a few more bytes
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    _log(logger.experiment, f"pictures/{name}", drawing, trainer.current_epoch)

    def _draw(self, trainer: pl.Trainer, classes: list[str], deployed: Deployed) -> dict[str, Figure]:
        data, score = trainer.datamodule.pictures, deployed.val
        probabilities = evaluation.probabilities(score.logits, deployed.temperature)
        confidence, guesses = probabilities.max(dim=1)
        wrong = (guesses != score.labels).nonzero().flatten()
        worst = wrong[confidence[wrong].argsort(descending=True)][:GRID]
        notes = _flips(deployed, classes)
        shown_first = sorted(notes)[:GRID]
        spread = torch.linspace(0, len(score.labels) - 1, min(GRID, len(score.labels))).long()  # over all classes
        others = [index for index in spread.tolist() if index not in notes]
        gallery = torch.tensor((shown_first + others)[: len(spread)])
        accuracy = f"{int((guesses == score.labels).sum())} of {len(score.labels)} validation photos right"

        def shown(indices: Tensor, title: str, *, named: bool = False) -> Figure:
            chosen = indices.tolist()
            files = {index: Path(data.photos.splits["val"][index].name).name for index in chosen} if named else {}
            return figures.predictions(
                _photos(data, indices),
                score.labels[indices],
                probabilities[indices],
                classes,
                title,
                ["\n".join(filter(None, (files.get(index), notes.get(index)))) for index in chosen],
            )

        pictures, labels = data.first_batch("train")
        pictures, labels = pictures[:GRID], labels[:GRID]
        matrix = multiclass_confusion_matrix(guesses, score.labels, num_classes=len(classes))
        best_epoch = trainer.checkpoint_callback.best_epoch
        drawn = {}
        if deployed.cost:
            drawn["int8_cost"] = figures.int8_cost(deployed.cost, deployed.bytes, "what int8 cost")
        return drawn | {
            "batch": figures.photo_grid(
                transforms.denormalize(pictures, data.preprocessing),
                [classes[label] for label in labels],
                ["black"] * len(labels),
                "a training batch, augmented",
            ),
            "predictions": shown(gallery, accuracy + (f"; {len(notes)} flipped by int8 first" if notes else "")),
            "mistakes": shown(worst, f"the most confident of {len(wrong)} mistakes", named=True),
            "confusion": figures.confusion(matrix, classes, accuracy),
            "curves": figures.curves(_history(trainer), best_epoch, "train and validation"),
        }


def _history(trainer: pl.Trainer) -> dict[str, list[float | None]]:
    return next(callback.columns() for callback in trainer.callbacks if isinstance(callback, History))


def _log(writer: SummaryWriter, tag: str, drawing: Image.Image, step: int) -> None:
    """As a JPEG: TensorBoard's own ``add_image`` makes PNGs of megabytes, which Python sums up byte by byte."""
    encoded = io.BytesIO()
    drawing.save(encoded, "JPEG", quality=90)
    image = Summary.Image(height=drawing.height, width=drawing.width, colorspace=3)
    image.encoded_image_string = encoded.getvalue()
    cast(Any, writer.file_writer).add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)


def _flips(deployed: Deployed, classes: list[str]) -> dict[int, str]:
    """What was said before int8, by the index of each photo of which int8 says something else."""
    if not deployed.before:
        return {}
    name, before = list(deployed.before.items())[-1]
    guesses = before.logits.argmax(dim=1)
    flipped = (guesses != deployed.val.logits.argmax(dim=1)).nonzero().flatten().tolist()
    return {index: f"{name.replace('_', '-')}: {classes[guesses[index]]}" for index in flipped}


def _photos(data: PictureBatches, indices: Tensor) -> Tensor:
    """Validation pictures as the network saw them, but uint8 (N, C, size, size)."""
    dataset = data.dataset("val")
    if not len(indices):
        return torch.empty(0, 3, 1, 1, dtype=torch.uint8)
    return torch.stack([dataset[0, index][0] for index in indices.tolist()])
