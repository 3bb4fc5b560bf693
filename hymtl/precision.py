"""trainer.precision=auto: bfloat16 where the machine computes it in hardware, and is quicker with it."""

import torch
from torch import nn

AUTO, FULL, HALF = "auto", "32-true", "bf16-mixed"


def chosen(asked: str | int, accelerator: str, network: nn.Module, *, cpu_only: bool) -> str | int:
    """The precision for Lightning's Trainer: ``asked`` unless it is "auto".

    ``cpu_only`` strategies train no more than a head, beside an int8 network: bfloat16 would bring nothing.
    """
    if asked != AUTO:
        return asked
    gpu = accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())
    if cpu_only or not (_gpu() if gpu else _cpu() and not _trains_large_depthwise(network)):
        return FULL
    return HALF


def _gpu() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def _cpu() -> bool:
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _trains_large_depthwise(network: nn.Module) -> bool:
    """Whether it trains convolutions of one channel each and more than 3 x 3 pixels.

    Backward, torch 2.15's kernels on a CPU take several times as long for these in bfloat16 as in float32; forward they
    do not, nor does all else together. See "How fast" in docs/results.md.
    """
    return any(
        module.groups == module.in_channels > 1 and max(module.kernel_size) > 3 and module.weight.requires_grad
        for module in network.modules()
        if isinstance(module, nn.Conv2d)
    )
