"""hymtl: what finetuning, freezing and int8 quantization each buy and cost, measured on your pictures."""

from pathlib import Path
from typing import TYPE_CHECKING

from hymtl import quiet

if TYPE_CHECKING:
    from hymtl.deploy.predict import Predictor
    from hymtl.training import Run

__version__ = "0.1.0"

quiet.filter_warnings()


def train(*overrides: str, folder: str | Path | None = None) -> "Run":
    """One experiment, as ``python train.py OVERRIDES`` runs it: ``hymtl.train("strategy=frozen", "epochs=3")``.

    It leaves the same files in ``folder``, by default ``outputs/DATE/TIME-STRATEGY``. What comes back has
    ``folder`` and ``result``, the record as :class:`hymtl.records.result.Result`.

    Raises:
        HymtlError: if a setting, the data or the weights are not what they should be.
    """
    from hymtl import (
        training,  # here, so that who only predicts does not wait for Lightning and Hydra
    )

    return training.train(*overrides, folder=folder)


def load(path: str | Path, runtime: str = "torch") -> "Predictor":
    """The predictor of a run's or an artifact's folder: ``hymtl.load("outputs/...")("photo.jpg").label``.

    ``runtime``: see :func:`hymtl.deploy.predict.load`.

    Raises:
        HymtlError: if there is none, or it cannot be trusted or used here.
    """
    from hymtl.deploy import (
        predict,  # here, so that a command's --help does not wait for torch
    )

    return predict.load(path, runtime)
