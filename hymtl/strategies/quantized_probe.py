"""Quantized probe: the head is solved, not trained, on the features of an int8 backbone."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from hymtl.backbones.backbone import Backbone
from hymtl.network import Classifier
from hymtl.strategies.quantized import Quantized
from hymtl.strategy import Solved


@dataclass
class QuantizedProbe(Solved, Quantized):
    """Logistic regression on int8 features of the training photos: what ``probe`` is to ``frozen``.

    ``source``, ``quantizer`` and ``engine``: see :class:`Quantized`.
    """

    name = "quantized_probe"
    views: ClassVar[int | None] = None  # type: ignore[misc]  # no option here, as nothing is augmented

    def _classifier(self, body: nn.Module, backbone: Backbone, classes: int) -> Classifier:
        return Classifier(body, nn.Linear(backbone.features, classes), in_eval=["backbone"])
