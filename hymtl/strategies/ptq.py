"""PTQ: finetune in float, then quantize what came out, without training it again."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from hymtl import quantization
from hymtl.backbones import Pretrained
from hymtl.network import Classifier
from hymtl.strategies.finetune import Finetune


@dataclass
class PTQ(Finetune):
    """Finetuning, then post-training static quantization of the backbone, calibrated on training photos.

    Beside ``qat`` it shows what training with int8 rounding buys over rounding afterwards. The head stays
    in float, as under ``qat``.
    """

    name = "ptq"
    quantizes = True
    engine: str = "auto"

    def __post_init__(self) -> None:
        self.engine = quantization.choose_engine(self.engine)

    def before_int8(self, network: Classifier, pretrained: Pretrained) -> dict[str, Classifier]:
        return {"float": Classifier(quantization.fused(network.backbone), network.head)}

    def finish(self, network: Classifier, calibration: Iterable[Tensor]) -> Classifier:
        network.hold_in_eval([])  # its batch norms are about to vanish into the convolutions
        network.backbone = quantization.post_training(network.backbone, self.engine, calibration)
        return network.eval()
