"""Finetune: train the whole network, backbone and a new head."""

from dataclasses import dataclass

from torch import nn

from hymtl.backbones.backbone import Backbone
from hymtl.network import Classifier
from hymtl.strategy import BatchNorm, Strategy, held_batch_norms


@dataclass
class Finetune(Strategy):
    """Every parameter trains, in float32; ``batch_norm``: see :func:`held_batch_norms`.

    Source: PyTorch's transfer learning tutorial, "Finetuning the ConvNet".
    """

    name = "finetune"
    batch_norm: BatchNorm = "auto"

    def build(self, backbone: Backbone, classes: int) -> Classifier:
        body = backbone.build()
        held = held_batch_norms(body, self.batch_norm, backbone)
        return Classifier(body, nn.Linear(backbone.features, classes), in_eval=held)
