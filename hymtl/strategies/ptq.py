"""PTQ: finetune in float, then quantize what came out, without training it again."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from hymtl.backbones import Pretrained
from hymtl.network import Classifier
from hymtl.strategies.finetune import Finetune
from hymtl.strategies.quantizer import choose_quantizer


@dataclass
class PTQ(Finetune):
    """Finetuning, then post-training static quantization of the backbone, calibrated on training photos.

    Beside ``qat`` it shows what training with int8 rounding buys over rounding afterwards. The head stays
    in float, as under ``qat``. ``quantizer``: see :func:`choose_quantizer`.
    """

    name = "ptq"
    quantizes = True
    quantizer: str = "eager"
    engine: str = "auto"

    def __post_init__(self) -> None:
        self.engine = choose_quantizer(self.quantizer).choose_engine(self.engine)

    def before_int8(self, network: Classifier, pretrained: Pretrained) -> dict[str, Classifier]:
        body = choose_quantizer(self.quantizer).fused(network.backbone)
        return {"float": Classifier(body, network.head)}

    def finish(self, network: Classifier, calibration: Iterable[Tensor]) -> Classifier:
        network.hold_in_eval([])  # its batch norms are about to vanish into the convolutions
        quantization = choose_quantizer(self.quantizer)
        network.backbone = quantization.post_training(network.backbone, self.engine, calibration)
        return network.eval()
