"""Partial: train the head and the last stages of the backbone."""

from dataclasses import dataclass

from torch import nn

from hymtl.backbones import Backbone
from hymtl.errors import HymtlError
from hymtl.network import Classifier
from hymtl.strategies.base import Strategy, freeze


@dataclass
class Partial(Strategy):
    """The head and the last ``stages`` stages train; earlier ones are frozen, batch norm included.

    A stage is what works at one resolution (``layer4`` of a ResNet); see ``Backbone.stages``.

    Source: Yosinski et al., "How transferable are features in deep neural networks?" (NeurIPS 2014): late
    layers are the ones that are particular to the data a network was trained on.
    """

    name = "partial"
    stages: int = 1

    def build(self, backbone: Backbone, classes: int) -> Classifier:
        count = len(backbone.stages)
        if not 1 <= self.stages <= count:
            raise HymtlError(
                f"strategy.stages={self.stages}: {backbone.name} has {count} stages, so choose 1 to {count} "
                "(none is strategy=frozen)."
            )
        body = backbone.build()
        frozen = [name for stage in backbone.stages[: count - self.stages] for name in stage]
        for name in frozen:
            freeze(body.get_submodule(name))
        head = nn.Linear(backbone.features, classes)
        return Classifier(body, head, in_eval=[f"backbone.{name}" for name in frozen])
