"""Finetune: train the whole network, backbone and a new head."""

from dataclasses import dataclass

from torch import nn

from hymtl.backbones import Backbone
from hymtl.network import Classifier
from hymtl.strategies.base import Strategy


@dataclass
class Finetune(Strategy):
    """Every parameter trains, in float32.

    Source: PyTorch's transfer learning tutorial, "Finetuning the ConvNet".
    """

    name = "finetune"

    def build(self, backbone: Backbone, classes: int) -> Classifier:
        return Classifier(backbone.build(), nn.Linear(backbone.features, classes))
