"""PTQ: finetune in float, then quantize what came out, without training it again."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from hymtl.backbones.pretrained import Pretrained
from hymtl.network import Classifier
from hymtl.quantization import QuantizerName
from hymtl.strategies.finetune import Finetune
from hymtl.strategy import Engine, Int8


@dataclass
class PTQ(Int8, Finetune):
    """Finetuning, then post-training static quantization of the backbone, calibrated on training photos.

    Beside ``qat`` it shows what training with int8 rounding buys over rounding afterwards. The head stays
    in float, as under ``qat``. ``quantizer``: see :func:`hymtl.quantization.choose`.
    """

    name = "ptq"
    quantizer: QuantizerName = "eager"
    engine: Engine = "auto"

    def before_int8(self, network: Classifier, pretrained: Pretrained) -> dict[str, Classifier]:
        return {"float": Classifier(self.quantization.fused(network.backbone), network.head)}

    def finish(self, network: Classifier, calibration: Iterable[Tensor]) -> Classifier:
        network.hold_in_eval([])  # its batch norms are about to vanish into the convolutions
        network.backbone = self.quantization.post_training(network.backbone, self.engine, calibration)
        return network.eval()
