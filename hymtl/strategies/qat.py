"""QAT: train the whole network with int8 rounding simulated, then convert it."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from hymtl import quantization
from hymtl.backbones import Backbone, Pretrained
from hymtl.network import Classifier
from hymtl.strategies.base import Strategy, load_backbone
from hymtl.strategies.quantized import dropout_head


@dataclass
class QAT(Strategy):
    """Fused, fake-quantized features and a float head; everything trains, then the features become int8.

    Source: PyTorch's quantized transfer learning tutorial, part 2; Jacob et al., "Quantization and Training
    of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (CVPR 2018).
    """

    name = "qat"
    quantizes = True
    engine: str = "auto"

    def __post_init__(self) -> None:
        self.engine = quantization.choose_engine(self.engine)

    def build(self, backbone: Backbone, classes: int) -> Classifier:
        return self._prepare(backbone.build(), backbone, classes)

    def transfer(self, pretrained: Pretrained, classes: int, calibration: Iterable[Tensor]) -> Classifier:
        body = pretrained.backbone.build()
        load_backbone(body, pretrained)  # before fusing renames its tensors
        return self._prepare(body, pretrained.backbone, classes)

    def training(self, network: nn.Module) -> contextlib.AbstractContextManager:
        return quantization.observing(network)

    def finish(self, network: Classifier) -> Classifier:
        return quantization.convert(network, self.engine)

    def _prepare(self, body: nn.Module, backbone: Backbone, classes: int) -> Classifier:
        return Classifier(quantization.prepare_qat(body, self.engine), dropout_head(backbone, classes))
