"""QAT: train the whole network with int8 rounding simulated, then convert it."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

from torch import Tensor, nn

from hymtl.backbones.backbone import Backbone
from hymtl.backbones.pretrained import Pretrained
from hymtl.errors import check_choice, check_epochs
from hymtl.network import Classifier
from hymtl.quantization import QuantizerName, choose_reduce_range
from hymtl.strategy import (
    BatchNorm,
    Engine,
    Int8,
    batch_norms,
    dropout_head,
    held_batch_norms,
    load_backbone,
)


@dataclass
class QAT(Int8):
    """Fused, fake-quantized features and a float head; everything trains, then the features become int8.

    ``observers`` is ``"training"`` (ranges move in training steps alone) or ``"always"`` (in validation too,
    as in the tutorial, which thereby lets validation photos into the network). ``reduce_range`` keeps
    activations to 7 bits: False, True (the tutorial's), or ``"auto"``, where the engine overflows otherwise.
    ``batch_norm``: see :func:`held_batch_norms`; ``quantizer``: see :func:`hymtl.quantization.choose`. After
    ``freeze_batch_norm_after`` epochs batch-norm statistics stay as they are, after ``freeze_observers_after`` the
    ranges too, so that the weights settle on the very rounding that is deployed; None: never. TensorBoard shows both
    (``qat/batch_norm``, ``qat/observers``: 1 while they move; the idea is that of torchvision's reference,
    ``train_quantization.py``).

    Source: PyTorch's quantized transfer learning tutorial, part 2; Jacob et al., "Quantization and Training
    of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (CVPR 2018).
    """

    name = "qat"
    quantizer: QuantizerName = "eager"
    engine: Engine = "auto"
    observers: Literal["training", "always"] = "training"
    reduce_range: bool | Literal["auto"] = "auto"
    batch_norm: BatchNorm = "auto"
    freeze_batch_norm_after: int | None = None
    freeze_observers_after: int | None = None

    _observers_move = True  # of the epoch that runs; start_epoch sets it

    def __post_init__(self) -> None:
        check_choice("strategy.observers", self.observers, ("training", "always"))
        check_epochs("strategy.freeze_batch_norm_after", self.freeze_batch_norm_after)
        check_epochs("strategy.freeze_observers_after", self.freeze_observers_after)
        super().__post_init__()

    def choose_engine(self) -> None:
        super().choose_engine()
        self.reduce_range = choose_reduce_range(self.reduce_range, self.quantization, self.engine)

    def build(self, backbone: Backbone, classes: int) -> Classifier:
        return self._prepare(backbone.build(), backbone, classes)

    def transfer(self, pretrained: Pretrained, classes: int, calibration: Iterable[Tensor]) -> Classifier:
        body = pretrained.backbone.build()
        load_backbone(body, pretrained)  # before fusing renames its tensors
        return self._prepare(body, pretrained.backbone, classes)

    def training(self, network: nn.Module) -> contextlib.AbstractContextManager:
        moves = self._observers_move and self.observers == "training"
        return self.quantization.observing(network) if moves else contextlib.nullcontext()

    def start_epoch(self, network: Classifier, epoch: int) -> None:
        moving = self.moving(epoch)
        self._observers_move = moving["qat/observers"]
        if not self._observers_move:
            self.quantization.stop_observing(network)
        if not moving["qat/batch_norm"]:
            network.hold_in_eval(batch_norms(network.backbone))

    def moving(self, epoch: int) -> dict[str, bool]:
        ends = {"qat/batch_norm": self.freeze_batch_norm_after, "qat/observers": self.freeze_observers_after}
        return {name: end is None or epoch < end for name, end in ends.items()}

    def before_int8(self, network: Classifier, pretrained: Pretrained) -> dict[str, Classifier]:
        return {
            "float": self.quantization.still(network, rounding=False),
            "fake_quant": self.quantization.still(network, rounding=True),
        }

    def finish(self, network: Classifier, calibration: Iterable[Tensor]) -> Classifier:
        network.hold_in_eval([])  # its batch norms are about to vanish into the convolutions
        return cast(Classifier, self.quantization.convert(network, self.engine))

    def _prepare(self, body: nn.Module, backbone: Backbone, classes: int) -> Classifier:
        observe, picture = self.observers == "always", backbone.preprocessing.picture
        body = self.quantization.prepare_qat(
            body, self.engine, self.reduce_range is True, picture=picture, observe=observe
        )
        held = held_batch_norms(body, self.batch_norm, backbone)
        return Classifier(body, dropout_head(backbone, classes), in_eval=held)
