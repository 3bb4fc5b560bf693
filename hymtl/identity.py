"""Which network it is: a digest of its modules and of all their weights."""

import hashlib
from typing import Any

import torch
from torch import Tensor, nn


def identity(network: nn.Module) -> str:
    """sha256, in hex, over the modules of a network and all their weights, int8 ones and scales too."""
    whole = hashlib.sha256(str(network).encode())
    for name, value in network.state_dict().items():
        whole.update(name.encode())
        _update(whole, value)
    return whole.hexdigest()


def _update(whole: Any, value: Any) -> None:
    if isinstance(value, tuple | list):  # packed weights and bias
        for part in value:
            _update(whole, part)
    elif isinstance(value, Tensor) and value.is_quantized:
        whole.update(repr(value.qscheme()).encode())
        per_channel = value.qscheme() in (torch.per_channel_affine, torch.per_channel_symmetric)
        scales = (value.q_per_channel_scales(), value.q_per_channel_zero_points()) if per_channel else ()
        _update(whole, (value.int_repr(), *(scales or (value.q_scale(), value.q_zero_point()))))
    elif isinstance(value, Tensor):
        whole.update(f"{value.dtype} {tuple(value.shape)}".encode())
        whole.update(value.detach().cpu().contiguous().numpy().tobytes())
    else:
        whole.update(repr(value).encode())
