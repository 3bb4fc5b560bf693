"""Training batches whose pictures are two at a time: mixup and CutMix.

What is random is drawn from (seed, epoch, batch) alone, so neither workers nor resuming change a run.
"""

import math
from typing import Literal

import torch
from torch import Generator, Tensor

from hymtl.data.dataset import mix as mixed_seed

Mixing = Literal["mixup", "cutmix"]
MIXUP_ALPHA, CUTMIX_ALPHA = 0.2, 1.0  # of the Beta distribution, as in the papers


def mix(pictures: Tensor, kind: str, *key: int) -> tuple[Tensor, Tensor, float]:
    """Pictures (N, C, H, W) mixed with others of the batch, the indices (N) of those, and the share of the first.

    ``mixup`` adds both, weighted (Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018); ``cutmix``
    pastes a box of the other (Yun et al., "CutMix", ICCV 2019). The share is at least a half: the first picture's
    label remains the likelier one. ``key`` is what the random numbers depend on.
    """
    generator = torch.Generator().manual_seed(mixed_seed(*key))
    others = torch.randperm(len(pictures), generator=generator)
    share = _share(MIXUP_ALPHA if kind == "mixup" else CUTMIX_ALPHA, generator)
    if kind == "mixup":
        return pictures * share + pictures[others] * (1 - share), others, share
    top, bottom, left, right = _box(pictures.shape[-2], pictures.shape[-1], 1 - share, generator)
    mixed = pictures.clone()  # in the memory format of the batch
    mixed[..., top:bottom, left:right] = pictures[others][..., top:bottom, left:right]
    return mixed, others, 1 - (bottom - top) * (right - left) / (pictures.shape[-2] * pictures.shape[-1])


def _share(alpha: float, generator: Generator) -> float:
    """From Beta(alpha, alpha), the larger part of the two."""
    gammas = torch._standard_gamma(torch.full((2,), alpha, dtype=torch.float64), generator=generator)
    share = (gammas[0] / gammas.sum()).item() if gammas.sum() > 0 else 1.0
    return max(share, 1 - share)


def _box(height: int, width: int, area: float, generator: Generator) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of a box of that share of the area, cut off where it leaves the picture."""
    h, w = (round(side * math.sqrt(area)) for side in (height, width))
    y, x = (int(torch.randint(0, side, (1,), generator=generator)) for side in (height, width))
    return max(0, y - h // 2), min(height, y + h // 2), max(0, x - w // 2), min(width, x + w // 2)
