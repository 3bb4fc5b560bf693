"""Probe: the backbone stays as it is; the head on its features is solved, not trained."""

from dataclasses import dataclass

from torch import nn

from hymtl.backbones.backbone import Backbone
from hymtl.network import Classifier
from hymtl.strategy import Solved, as_fixed, freeze


@dataclass
class Probe(Solved):
    """Logistic regression on the features of the training photos, unaugmented; see :mod:`hymtl.features.probe`.

    The best head there is for these features, by the loss, in seconds, and without a learning rate or a number of
    epochs to choose: how features are judged. Its one number, the penalty, comes from cross-validation inside the
    training photos.

    Source: Alain and Bengio, "Understanding intermediate layers using linear classifier probes" (ICLR 2017 workshop).
    """

    name = "probe"

    def build(self, backbone: Backbone, classes: int) -> Classifier:
        body = backbone.build()
        freeze(body)
        return Classifier(body, nn.Linear(backbone.features, classes), in_eval=["backbone"])

    def fixed_backbone(self, network: Classifier) -> nn.Module:
        return as_fixed(network.backbone)
