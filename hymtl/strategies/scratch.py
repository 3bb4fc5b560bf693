"""Scratch: no transfer at all, to see what transfer buys."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from hymtl.backbones.pretrained import Pretrained
from hymtl.errors import HymtlError
from hymtl.network import Classifier
from hymtl.strategies.finetune import Finetune
from hymtl.strategy import BatchNorm


@dataclass
class Scratch(Finetune):
    """Every parameter trains, from random weights; batch norm has no statistics yet that could be kept."""

    name = "scratch"
    batch_norm: BatchNorm = "train"

    def check(self, pretrained: Pretrained) -> None:
        if pretrained.weights != "random":
            raise HymtlError(
                f"strategy=scratch starts from random weights, and backbone.weights={pretrained.weights}. "
                "Leave backbone.weights out, or use strategy=finetune."
            )

    def transfer(self, pretrained: Pretrained, classes: int, calibration: Iterable[Tensor]) -> Classifier:
        return self.build(pretrained.backbone, classes)
