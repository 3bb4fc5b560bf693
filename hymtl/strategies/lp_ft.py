"""LP-FT: the head is solved first, then everything trains at a gentle rate."""

from dataclasses import dataclass

from hymtl.strategies.finetune import Finetune


@dataclass
class LPFT(Finetune):
    """The head of ``probe``, on the pretrained features, then finetuning from there; ``batch_norm``: see ``finetune``.

    A random head's first gradients distort good features, a solved one's hardly do; ``gradual`` trains its head for
    some epochs to the same end.

    Source: Kumar, Raghunathan, Jones, Ma and Liang, "Fine-Tuning can Distort Pretrained Features and Underperform
    Out-of-Distribution" (ICLR 2022).
    """

    name = "lp_ft"
    solves_head = True
