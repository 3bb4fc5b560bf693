"""Frozen: the backbone stays as it is, a new head is trained on its features."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from hymtl.backbones.backbone import Backbone
from hymtl.errors import check_choice, check_views
from hymtl.network import Classifier
from hymtl.strategy import Strategy, as_fixed, freeze


@dataclass
class Frozen(Strategy):
    """Only the head trains.

    ``batch_norm`` is ``"eval"`` (the backbone's running statistics stay those of its pretraining) or
    ``"moving"`` (they go on moving with the training pictures, as in the tutorial, which puts the whole
    network in train mode). ``views``: see :class:`Strategy`.

    Source: PyTorch's transfer learning tutorial, "ConvNet as fixed feature extractor".
    """

    name = "frozen"
    batch_norm: Literal["eval", "moving"] = "eval"
    views: int | None = None

    def __post_init__(self) -> None:
        check_choice("strategy.batch_norm", self.batch_norm, ("eval", "moving"))
        check_views(self.views)

    def build(self, backbone: Backbone, classes: int) -> Classifier:
        body = backbone.build()
        freeze(body)
        head = nn.Linear(backbone.features, classes)
        return Classifier(body, head, in_eval=["backbone"] if self.batch_norm == "eval" else [])

    def fixed_backbone(self, network: Classifier) -> nn.Module | None:
        return None if self.batch_norm == "moving" else as_fixed(network.backbone)
