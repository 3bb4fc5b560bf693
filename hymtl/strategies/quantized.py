"""Quantized: the backbone is int8 from the start, a float head is trained on its features."""

import copy
import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from hymtl.backbones.backbone import Backbone
from hymtl.backbones.pretrained import IMAGENET, Pretrained, read_state_dict
from hymtl.errors import HymtlError, check_choice, check_views
from hymtl.identity import identity
from hymtl.network import Classifier
from hymtl.quantization import QuantizerName
from hymtl.strategy import Engine, Int8, dropout_head, load_backbone

log = logging.getLogger(__name__)


@dataclass
class Quantized(Int8):
    """A head on int8 features; on the CPU, where int8 runs.

    ``source`` says where the int8 backbone comes from: ``"official"`` is torchvision's own int8 weights
    (ImageNet ones, for some backbones), ``"calibrated"`` quantizes the float backbone after training
    (static, calibrated on training pictures only), ``"auto"`` takes the official ones where they can be
    found. ``transfer`` settles ``"auto"``, so that checkpoints and results say which it was. ``quantizer``: see
    :func:`hymtl.quantization.choose`; torchvision's weights are for ``"eager"``.
    ``views``: see :class:`Strategy`.

    Source: PyTorch's quantized transfer learning tutorial, part 1.
    """

    name = "quantized"
    cpu_only = True
    source: Literal["auto", "official", "calibrated"] = "auto"
    quantizer: QuantizerName = "eager"
    engine: Engine = "auto"
    views: int | None = None

    def __post_init__(self) -> None:
        check_choice("strategy.source", self.source, ("auto", "official", "calibrated"))
        check_views(self.views)
        super().__post_init__()

    def build(self, backbone: Backbone, classes: int) -> Classifier:
        return self._classifier(self._untrained(backbone), backbone, classes)

    def transfer(self, pretrained: Pretrained, classes: int, calibration: Iterable[Tensor]) -> Classifier:
        body = self._official(pretrained) or self._calibrated(pretrained, calibration)
        return self._classifier(body, pretrained.backbone, classes)

    def fixed_backbone(self, network: Classifier) -> nn.Module:
        return network.backbone

    def before_int8(self, network: Classifier, pretrained: Pretrained) -> dict[str, Classifier]:
        body = pretrained.backbone.build()
        load_backbone(body, pretrained)
        return {"float": Classifier(self.quantization.fused(body), network.head)}

    def _classifier(self, body: nn.Module, backbone: Backbone, classes: int) -> Classifier:
        return Classifier(body, dropout_head(backbone, classes), in_eval=["backbone"])

    def _official(self, pretrained: Pretrained) -> nn.Module | None:
        """The backbone with torchvision's int8 weights; None where ``source`` lets us do without."""
        if self.source == "calibrated":
            return None
        try:
            file = _official_file(pretrained, self.quantizer)
        except HymtlError as error:
            if self.source == "official":
                raise
            log.warning("strategy.source=auto: quantizing %s ourselves. %s", pretrained.backbone.name, error)
            self.source = "calibrated"
            return None
        self.source = "official"
        body = self._untrained(pretrained.backbone)
        state = read_state_dict(file)
        head = pretrained.backbone.classifier
        body.load_state_dict({key: value for key, value in state.items() if not key.startswith(head)})
        return body

    def _calibrated(self, pretrained: Pretrained, calibration: Iterable[Tensor]) -> nn.Module:
        body = pretrained.backbone.build()
        load_backbone(body, pretrained)
        batches = list(calibration)
        pictures = hashlib.sha256(torch.cat(batches).numpy().tobytes()).hexdigest()
        made_of = (self.quantizer, self.engine, identity(body), pictures)
        if _Last.made_of != made_of:
            _Last.body, _Last.made_of = self.quantization.post_training(body, self.engine, batches), made_of
        return copy.deepcopy(_Last.body)

    def _untrained(self, backbone: Backbone) -> nn.Module:
        return self.quantization.untrained_int8(backbone.build(), self.engine, backbone.preprocessing.size)


class _Last:
    """What this process calibrated last: the next job of a sweep has most often need of the same."""

    made_of: tuple[str, ...] = ()
    body: nn.Module


def _official_file(pretrained: Pretrained, quantizer: str) -> Path:
    backbone = pretrained.backbone
    if quantizer != "eager":
        raise HymtlError("Official int8 weights are for strategy.quantizer=eager: use strategy.source=calibrated.")
    if pretrained.weights != IMAGENET:
        raise HymtlError(f"Official int8 weights are ImageNet's, and backbone.weights={pretrained.weights}.")
    if backbone.official_int8 is None:
        raise HymtlError(f"There are no official int8 weights of {backbone.name}: use strategy.source=calibrated.")
    return backbone.official_int8()
