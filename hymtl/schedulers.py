"""Learning rates that change with every step: what torch has, for groups of parameters with rates of their own."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR, SequentialLR


def one_cycle(
    optimizer: Optimizer,
    total_steps: int,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> LRScheduler:
    """Torch's ``OneCycleLR``, each group of parameters up to its own rate; momentum, where there is one, cycles too.

    Source: Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates"
    (2018).
    """
    return OneCycleLR(
        optimizer,
        [group["lr"] for group in optimizer.param_groups],
        total_steps=total_steps,
        pct_start=pct_start,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        cycle_momentum=any(key in optimizer.defaults for key in ("momentum", "betas")),
    )


def warmup_cosine(optimizer: Optimizer, total_steps: int, warmup: float = 0.1) -> LRScheduler:
    """Up from a tenth of the rate in the share ``warmup`` of all steps, then to zero along half a cosine."""
    rising = min(max(1, round(warmup * total_steps)), max(1, total_steps - 1))
    up = LinearLR(optimizer, start_factor=0.1, total_iters=rising)
    down = CosineAnnealingLR(optimizer, T_max=max(1, total_steps - rising))
    return SequentialLR(optimizer, [up, down], milestones=[rising])
