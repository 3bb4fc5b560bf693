"""trainer.precision=auto: bfloat16 where the machine computes it in hardware."""

import torch

AUTO, FULL, HALF = "auto", "32-true", "bf16-mixed"


def chosen(asked: str | int, accelerator: str, *, cpu_only: bool) -> str | int:
    """The precision for Lightning's Trainer: ``asked`` unless it is "auto".

    ``cpu_only`` strategies train no more than a head, beside an int8 network: bfloat16 would bring nothing.
    """
    if asked != AUTO:
        return asked
    gpu = accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())
    if cpu_only or not (_gpu() if gpu else _cpu()):
        return FULL
    return HALF


def _gpu() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def _cpu() -> bool:
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
