"""Scoring a network on photos, outside Lightning: what is deployed is judged as it will be used."""

import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hymtl.identity import identity
from hymtl.network import Activations, Classifier


@dataclass(frozen=True)
class Score:
    """Features (N, F) and logits (N, classes), float32, and labels (N) of every photo, in the loader's order."""

    features: Tensor
    logits: Tensor
    labels: Tensor

    @property
    def accuracy(self) -> float:
        """Fraction of photos classified right."""
        return (self.logits.argmax(dim=1) == self.labels).float().mean().item()

    @property
    def confusion(self) -> np.ndarray:
        """Numbers of photos, int64 (classes, classes): rows the true class, columns the predicted one."""
        classes = self.logits.shape[1]
        pairs = self.labels * classes + self.logits.argmax(dim=1)
        return torch.bincount(pairs, minlength=classes**2).view(classes, classes).numpy()

    @property
    def loss(self) -> float:
        """Cross entropy, in nats, mean over photos."""
        return F.cross_entropy(self.logits, self.labels).item()


@dataclass(frozen=True)
class Validated:
    """What a network gave for the validation photos as it trained: features (N, F), float32, and labels (N).

    ``identity`` tells it from the same network with other weights, see :mod:`hymtl.identity`.
    """

    identity: str
    features: Tensor
    labels: Tensor


def probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Class probabilities (N, classes) of logits; the higher the temperature, the less confident."""
    return (logits / temperature).softmax(dim=1)


@torch.no_grad()
def score(network: Classifier, batches: Iterable[tuple[Tensor | Activations, Tensor]]) -> Score:
    """Run a network in eval mode, on the CPU, over batches of (pictures or their activations, labels)."""
    network.eval()
    features, labels = zip(*((network.features(inputs), labels) for inputs, labels in batches), strict=True)
    return Score(torch.cat(features), network.head(torch.cat(features)), torch.cat(labels))


@torch.no_grad()
def score_validated(
    network: Classifier, validated: Validated | None, batches: Iterable[tuple[Tensor | Activations, Tensor]]
) -> Score:
    """The same, but a network that validation has seen as it is, to the bit, is not run again."""
    if validated is None or identity(network) != validated.identity:
        return score(network, batches)
    network.eval()
    return Score(validated.features, network.head(validated.features), validated.labels)


@torch.no_grad()
def latency(network: nn.Module, picture: Tensor, repeats: int = 7) -> float:
    """Seconds that one picture (1, C, H, W) takes on the CPU: the median of a few times, after two to warm up.

    Good for a glance at the order of magnitude; whatever else the machine did meanwhile is in it.
    """
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        network(picture)
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])
