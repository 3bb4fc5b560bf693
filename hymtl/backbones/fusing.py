"""What a network is built with so that eager-mode int8 can take it: stubs, additions, fusing, padding.

This file is used by networks, and those in float too: fused, they do the same in less time. What quantizes them is
:mod:`hymtl.quantization`.
"""

import torch
from torch import Tensor, nn
from torch.ao import quantization as ao
from torch.ao.nn import intrinsic
from torch.ao.nn.quantized import FloatFunctional
from torch.ao.quantization import DeQuantStub, QuantStub
from torch.nn import functional as F

__all__ = ["DeQuantStub", "FloatFunctional", "QuantStub", "at_most_six", "fuse", "pad"]


def fuse(module: nn.Sequential, names: list[str], *, is_qat: bool) -> None:
    """Fuse conv, batch norm and, where listed, ReLU or ReLU6 of ``module`` into one module, in place."""
    method = ao.fuse_modules_qat if is_qat else ao.fuse_modules
    custom = {"additional_fuser_method_mapping": {(nn.Conv2d, nn.BatchNorm2d, nn.ReLU6): _fuse_conv_bn_relu6}}
    method(module, names, inplace=True, fuse_custom_config_dict=custom)


def _fuse_conv_bn_relu6(is_qat: bool, conv: nn.Conv2d, bn: nn.BatchNorm2d, relu6: nn.ReLU6) -> nn.Module:
    """ReLU6 after an int8 convolution needs no operation: a ReLU whose output range ends at 6 saturates there.

    (With 7 bits it does not: see :func:`at_most_six`.) torch fuses ReLU only. Left apart, ReLU6 would make the
    convolution's own output range, with all that ReLU6 cuts off, decide the scale: on EfficientNet-Lite0 most of the
    256 levels go to waste.
    """
    fused: nn.Sequential
    if is_qat:
        fused = intrinsic.ConvBnReLU2d(conv, bn, nn.ReLU())
    else:
        fused = intrinsic.ConvReLU2d(nn.utils.fuse_conv_bn_eval(conv, bn), nn.ReLU())
    fused[-1] = relu6
    return fused


def at_most_six(x: Tensor) -> Tensor:
    """The output of a convolution that was fused with ReLU6, once it is quint8.

    With 8 bits it is as it should be: 6 is the highest level. With 7 (``reduce_range``, for kernels whose sums would
    overflow) the kernel still writes all 8, and the highest level would stand for 12. While an exporter traces, float
    stands in, as in :func:`pad`.
    """
    if not x.is_quantized or x.q_scale() * (255 - x.q_zero_point()) < 1.5 * 6:
        return x
    if torch.jit.is_tracing():
        return torch.quantize_per_tensor(x.dequantize().clamp(max=6.0), x.q_scale(), x.q_zero_point(), x.dtype)
    return torch.ops.quantized.relu6(x)


def pad(x: Tensor, margins: tuple[int, int, int, int]) -> Tensor:
    """Zeros around quint8 activations (N, C, H, W), channels last: ``margins`` on the left, right, top and bottom.

    The same as torch's own padding, which goes through quantized tensors number by number and took four fifths of
    the time of EfficientNet-Lite0 in int8; here their bytes are copied. While an exporter traces, which follows
    operations and not bytes, torch's padding of the same numbers stands in: zero is exactly a level.
    """
    if torch.jit.is_tracing():
        return torch.quantize_per_tensor(F.pad(x.dequantize(), margins), x.q_scale(), x.q_zero_point(), x.dtype)
    left, right, top, bottom = margins
    (n, c, height, width), scale, zero_point = x.shape, x.q_scale(), x.q_zero_point()
    shape = (n, c, top + height + bottom, left + width + right)
    padded = torch._empty_affine_quantized(
        shape, scale=scale, zero_point=zero_point, dtype=x.dtype, memory_format=torch.channels_last
    )
    levels = _levels(padded).fill_(zero_point)
    levels[:, :, top : top + height, left : left + width] = _levels(x)
    return padded


def _levels(x: Tensor) -> Tensor:
    """The levels of a quint8 tensor as uint8, in the same memory; torch's ``int_repr`` is a slow copy."""
    return torch.empty(0, dtype=torch.uint8).set_(x.untyped_storage(), x.storage_offset(), x.size(), x.stride())
