"""hymtl: what finetuning, freezing and int8 quantization each buy and cost, measured on your pictures."""

from pathlib import Path
from typing import TYPE_CHECKING

from hymtl import quiet

if TYPE_CHECKING:
    from hymtl.deploy.predict import Predictor

__version__ = "0.1.0"

quiet.filter_warnings()


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
