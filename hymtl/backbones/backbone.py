"""What a backbone is: a network without its classifier, and where its pretrained weights come from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from hymtl.files.download import DownloadError
from hymtl.preprocessing import Preprocessing


def no_weights() -> Path:
    """For ``Backbone.imagenet`` of a network that nobody trained on ImageNet."""
    raise DownloadError("there are no ImageNet weights of this network")


@dataclass(frozen=True)
class Backbone:
    """A network without its classifier.

    ``build()`` gives it with random weights: normalized pictures (N, C, H, W) to features (N, ``features``),
    float32. ``stages`` names its modules from the input on, a stage for each resolution.
    ``imagenet()`` gives the file of its ImageNet state dict, downloading it if need be; tensors
    whose names begin with one of ``classifier`` belong to the 1000-class head, and ``rename`` maps the other
    names to the network's. ``official_int8()`` gives torchvision's own int8 state dict.
    """

    name: str
    features: int
    build: Callable[[], nn.Module]
    classifier: tuple[str, ...]
    stages: tuple[tuple[str, ...], ...]
    imagenet: Callable[[], Path] = no_weights
    rename: Callable[[str], str] = str
    preprocessing: Preprocessing = Preprocessing()
    official_int8: Callable[[], Path] | None = None
    # While the whole network trains: "train", or "eval", the statistics of pretraining kept.
    batch_norm: str = "train"
