"""PTQ: finetune in float, then quantize what came out, without training it again."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from hymtl import quantization
from hymtl.backbones.pretrained import Pretrained
from hymtl.network import Classifier
from hymtl.strategies.finetune import Finetune
from hymtl.strategy import check_quantizable


@dataclass
class PTQ(Finetune):
    """Finetuning, then post-training static quantization of the backbone, calibrated on training photos.

    Beside ``qat`` it shows what training with int8 rounding buys over rounding afterwards. The head stays
    in float, as under ``qat``. ``quantizer``: see :func:`hymtl.quantization.choose`.
    """

    name = "ptq"
    quantizes = True
    quantizer: str = "eager"
    engine: str = "auto"

    def __post_init__(self) -> None:
        self._quantizer = quantization.choose(self.quantizer)
        self.engine = self._quantizer.choose_engine(self.engine)

    def check(self, pretrained: Pretrained) -> None:
        check_quantizable(self._quantizer, self.quantizer, pretrained.backbone)

    def before_int8(self, network: Classifier, pretrained: Pretrained) -> dict[str, Classifier]:
        return {"float": Classifier(self._quantizer.fused(network.backbone), network.head)}

    def finish(self, network: Classifier, calibration: Iterable[Tensor]) -> Classifier:
        network.hold_in_eval([])  # its batch norms are about to vanish into the convolutions
        network.backbone = self._quantizer.post_training(network.backbone, self.engine, calibration)
        return network.eval()
