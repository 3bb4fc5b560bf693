"""QAT: train the whole network with int8 rounding simulated, then convert it."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from hymtl.backbones import Backbone, Pretrained
from hymtl.errors import check_choice
from hymtl.network import Classifier
from hymtl.strategies.base import Strategy, held_batch_norms, load_backbone
from hymtl.strategies.quantized import dropout_head
from hymtl.strategies.quantizer import choose_quantizer


@dataclass
class QAT(Strategy):
    """Fused, fake-quantized features and a float head; everything trains, then the features become int8.

    ``observers`` is ``"training"`` (ranges move in training steps alone) or ``"always"`` (in validation too,
    as in the tutorial, which thereby lets validation photos into the network). ``reduce_range`` keeps
    activations to 7 bits: False, True (the tutorial's), or ``"auto"``, where the engine overflows otherwise.
    ``batch_norm``: see :func:`held_batch_norms`; ``quantizer``: see :func:`choose_quantizer`.

    Source: PyTorch's quantized transfer learning tutorial, part 2; Jacob et al., "Quantization and Training
    of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (CVPR 2018).
    """

    name = "qat"
    quantizes = True
    quantizer: str = "eager"
    engine: str = "auto"
    observers: str = "training"
    reduce_range: bool | str = "auto"
    batch_norm: str = "auto"

    def __post_init__(self) -> None:
        check_choice("strategy.observers", self.observers, ("training", "always"))
        quantization = choose_quantizer(self.quantizer)
        self.engine = quantization.choose_engine(self.engine)
        self.reduce_range = quantization.choose_reduce_range(self.reduce_range, self.engine)

    def build(self, backbone: Backbone, classes: int) -> Classifier:
        return self._prepare(backbone.build(), backbone, classes)

    def transfer(self, pretrained: Pretrained, classes: int, calibration: Iterable[Tensor]) -> Classifier:
        body = pretrained.backbone.build()
        load_backbone(body, pretrained)  # before fusing renames its tensors
        return self._prepare(body, pretrained.backbone, classes)

    def training(self, network: nn.Module) -> contextlib.AbstractContextManager:
        quantization = choose_quantizer(self.quantizer)
        return contextlib.nullcontext() if self.observers == "always" else quantization.observing(network)

    def finish(self, network: Classifier, calibration: Iterable[Tensor]) -> Classifier:
        network.hold_in_eval([])  # its batch norms are about to vanish into the convolutions
        return choose_quantizer(self.quantizer).convert(network, self.engine)

    def _prepare(self, body: nn.Module, backbone: Backbone, classes: int) -> Classifier:
        quantization = choose_quantizer(self.quantizer)
        observe = self.observers == "always"
        body = quantization.prepare_qat(body, self.engine, self.reduce_range, observe=observe)
        held = held_batch_norms(body, self.batch_norm, backbone)
        return Classifier(body, dropout_head(backbone, classes), in_eval=held)
