"""LP-FT: the head is solved first, then everything trains at a gentle rate."""

from dataclasses import dataclass

from hymtl.strategies.finetune import Finetune
from hymtl.strategy import BatchNorm


@dataclass
class LPFT(Finetune):
    """The head of ``probe``, on the pretrained features, then finetuning from there.

    A random head's first gradients distort good features, a solved one's hardly do; ``gradual`` trains its head for
    some epochs to the same end. So batch norms are held, unless ``batch_norm`` says otherwise: the head was solved on
    features of pretraining's statistics, and those of the first batch would not fit it.

    Source: Kumar, Raghunathan, Jones, Ma and Liang, "Fine-Tuning can Distort Pretrained Features and Underperform
    Out-of-Distribution" (ICLR 2022).
    """

    name = "lp_ft"
    batch_norm: BatchNorm = "eval"
    solves_head = True
