"""Partial: train the head and the last stages of the backbone."""

from dataclasses import dataclass

from torch import nn

from hymtl.backbones import cut
from hymtl.backbones.backbone import Backbone
from hymtl.backbones.pretrained import Pretrained
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

    _picture = (3, 224, 224)  # what the backbone sees; build sets it

    def __post_init__(self) -> None:
        check_views(self.views)

    def check(self, pretrained: Pretrained) -> None:
        self._check_stages(pretrained.backbone)

    def build(self, backbone: Backbone, classes: int) -> Classifier:
        self._check_stages(backbone)
        count = len(backbone.stages)
        self._picture = backbone.preprocessing.picture
        body = backbone.build()
        early, late = backbone.stages[: count - self.stages], backbone.stages[count - self.stages :]
        frozen = [name for stage in early for name in stage]
        for name in frozen:
            freeze(body.get_submodule(name))
        for parameter in body.parameters(recurse=False) if frozen else ():  # tokens and positions of a transformer
            parameter.requires_grad_(False)
        head = nn.Linear(backbone.features, classes)
        in_eval = [f"backbone.{name}" for name in frozen]
        return Classifier(body, head, in_eval=in_eval, border=late[0][0] if frozen else None)

    def _check_stages(self, backbone: Backbone) -> None:
        count = len(backbone.stages)
        if not 1 <= self.stages <= count:
            raise HymtlError(
                f"strategy.stages={self.stages}: {backbone.name} has {count} stages, so choose 1 to {count} "
                "(none is strategy=frozen)."
            )

    def fixed_backbone(self, network: Classifier) -> nn.Module | None:
        if network.border is None:
            return None
        fixed = as_fixed(network.backbone)
        return cut.before(fixed, network.border).eval() if cut.holds(fixed, network.border, self._picture) else None
