"""Partial: train the head and the last stages of the backbone."""

from dataclasses import dataclass

from torch import nn

from hymtl.backbones import cut
from hymtl.backbones.backbone import Backbone
from hymtl.errors import HymtlError, check_views
from hymtl.network import Classifier
from hymtl.strategy import Strategy, as_fixed, freeze


@dataclass
class Partial(Strategy):
    """The head and the last ``stages`` stages train; earlier ones are frozen, batch norm included.

    A stage is what works at one resolution (``layer4`` of a ResNet); see ``Backbone.stages``. ``views``: see
    :class:`Strategy`.

    Source: Yosinski et al., "How transferable are features in deep neural networks?" (NeurIPS 2014): late
    layers are the ones that are particular to the data a network was trained on.
    """

    name = "partial"
    stages: int = 1
    views: int | None = None

    def __post_init__(self) -> None:
        check_views(self.views)

    def build(self, backbone: Backbone, classes: int) -> Classifier:
        count = len(backbone.stages)
        if not 1 <= self.stages <= count:
            raise HymtlError(
                f"strategy.stages={self.stages}: {backbone.name} has {count} stages, so choose 1 to {count} "
                "(none is strategy=frozen)."
            )
        body = backbone.build()
        early, late = backbone.stages[: count - self.stages], backbone.stages[count - self.stages :]
        frozen = [name for stage in early for name in stage]
        for name in frozen:
            freeze(body.get_submodule(name))
        head = nn.Linear(backbone.features, classes)
        in_eval = [f"backbone.{name}" for name in frozen]
        return Classifier(body, head, in_eval=in_eval, border=late[0][0] if frozen else None)

    def fixed_backbone(self, network: Classifier) -> nn.Module | None:
        return cut.before(as_fixed(network.backbone), network.border).eval() if network.border else None
