"""Probabilities that mean what they say: one temperature for all logits, which changes no class.

Source: Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017). Shapes: N photos, C classes.
"""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_calibration_error

from hymtl.deploy.evaluation import probabilities
from hymtl.records.result import Calibration, Unsure

BINS = 15  # of confidence, as in the paper
LIMIT = 20.0  # times softer or sharper at the most
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature that makes labels (N) likeliest, given logits (N, C).

    1 where every photo is classified right: the likelihood then has no maximum, as more confidence is always better.
    """
    if bool((logits.argmax(dim=1) == labels).all()):
        return 1.0
    from scipy.optimize import minimize_scalar  # here, so that a start does not wait for scipy

    logits = logits.double()

    def loss(logarithm: float) -> float:
        return F.cross_entropy(logits / math.exp(logarithm), labels).item()

    bound = math.log(LIMIT)
    return float(math.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))


def calibration_error(given: Tensor, labels: Tensor) -> float:
    """The expected calibration error of probabilities (N, C): how far confidence and accuracy are apart, on average."""
    return multiclass_calibration_error(given, labels, num_classes=given.shape[1], n_bins=BINS).item()


def held_out(logits: Tensor, labels: Tensor) -> Tensor:
    """Probabilities (N, C), each half of every class scaled by the temperature that was fitted on the other half."""
    scaled = torch.empty_like(logits)
    halves = _halves(labels)
    for half, other in (halves, halves[::-1]):
        scaled[half] = probabilities(logits[half], temperature(logits[other], labels[other]))
    return scaled


def _halves(labels: Tensor) -> tuple[Tensor, Tensor]:
    order = labels.argsort(stable=True)
    return order[::2], order[1::2]


def record(logits: Tensor, labels: Tensor, fitted: float | None) -> Calibration:
    """What result.json says of one network; ``fitted`` is its temperature, None where it is left as it is."""
    before = calibration_error(probabilities(logits), labels)
    after = None if fitted is None or len(labels) < 2 else calibration_error(held_out(logits, labels), labels)
    return Calibration(temperature=1.0 if fitted is None else fitted, ece_before=before, ece_after=after)


def unsure(given: Tensor, right: Tensor, thresholds: Iterable[float] = THRESHOLDS) -> Iterator[Unsure]:
    """How many photos have less confidence than each threshold, and how many of the others are ``right`` (N)."""
    confidence = given.max(dim=1).values
    for threshold in thresholds:
        sure = confidence >= threshold
        counts = {"photos": int((~sure).sum()), "rest": int(sure.sum()), "right": int((sure & right).sum())}
        yield Unsure(below=threshold, **counts)
