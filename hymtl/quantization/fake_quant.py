"""The modules of QAT, faster on the CPU: torch's own mathematics and state dict, fewer passes over memory.

A training step of torch's modules is spent on memory rather than on convolutions: they divide each convolution's
output by batch norm's scale, where the weights are a thousandth of the size; they round activations one by one and
keep a mask of what was clipped, where a vectorized operation rounds, and the input itself says what was clipped; they
observe weights channel by channel. With rounding switched off the results agree with torch's up to float
rounding; with it, a sum that falls on the border of two int8 levels may take the other one.

In one thing they differ from torch's fused fake-quant on purpose. That trains with a weight's largest value at level
127 (or -128) while conversion, which asks the observer, puts it at 127.5; here both ask the observer.

``torch.ao.quantization.convert`` knows torch's classes alone: see :func:`as_torchs`.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.ao import quantization as ao
from torch.ao.nn import intrinsic
from torch.ao.nn.intrinsic import qat
from torch.nn import functional as F

UINT8 = (0, 255)
RELU6_MAX = 6.0


class _RoundActivation(torch.autograd.Function):
    """To the levels of uint8 and back; the gradient passes where nothing was clipped (straight-through estimator).

    What is over ``largest`` is clipped to it first.

    Source: Jacob et al. (CVPR 2018), section 3; ``fake_quantize_per_tensor_affine`` in torch.
    """

    @staticmethod
    def forward(ctx, x: Tensor, scale: float, zero_point: int, low: int, high: int, largest: float) -> Tensor:
        ctx.save_for_backward(x)
        if largest < (high - zero_point + 0.5) * scale:
            high = zero_point + round(largest / scale)
        ctx.limits = ((low - zero_point - 0.5) * scale, min((high - zero_point + 0.5) * scale, largest))
        if (low, high) == UINT8:
            return torch.quantize_per_tensor(x, scale, zero_point, torch.quint8).dequantize()
        return torch.fake_quantize_per_tensor_affine(x, scale, zero_point, low, high)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradient, x, *ctx.limits), None, None, None, None, None


class _RoundWeight(torch.autograd.Function):
    """The same for weights: symmetric, by a scale for each output channel, (C)."""

    @staticmethod
    def forward(ctx, weight: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
        scale = scale.view(-1, *[1] * (weight.ndim - 1))
        ctx.save_for_backward(weight, (low - 0.5) * scale, (high + 0.5) * scale)
        return (weight * scale.reciprocal()).round_().clamp_(low, high).mul_(scale)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, low, high = ctx.saved_tensors
        return torch.where((weight >= low) & (weight <= high), gradient, 0.0), None, None, None


class FakeQuantize(ao.FusedMovingAvgObsFakeQuantize):
    """Fake-quant of activations (per tensor, affine) or of weights (per channel, symmetric), as the observer says.

    Float32 comes out, also of bfloat16. On other devices than the CPU it is torch's.
    """

    largest = math.inf  # of the activations that come in, what is over it is clipped

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return super().forward(x)
        x = x.float()
        observer = self.activation_post_process
        if self.observer_enabled.item():
            self._observe(x.detach())
        if not self.fake_quant_enabled.item():
            return x
        levels = (observer.quant_min, observer.quant_max)
        if self.is_per_channel:
            return _RoundWeight.apply(x, self.scale, *levels)
        return _RoundActivation.apply(x, self.scale.item(), int(self.zero_point), *levels, self.largest)

    def _observe(self, x: Tensor) -> None:
        self.activation_post_process(x if self.is_per_channel else as_it_lies(x))
        scale, zero_point = self.calculate_qparams()
        self.scale.resize_(scale.shape).copy_(scale)
        self.zero_point.resize_(zero_point.shape).copy_(zero_point)


class ClippedFakeQuantize(FakeQuantize):
    """Fake-quant behind a fused ReLU6: torch's fused QAT module applies ReLU, so the 6 is applied here.

    Where it rounds, the rounding clips, and no clipped copy of the activations is kept for the gradient.
    """

    largest = RELU6_MAX

    def forward(self, x: Tensor) -> Tensor:
        clips = x.device.type == "cpu" and self.fake_quant_enabled.item()
        return super().forward(x if clips else x.clamp(max=self.largest))

    def _observe(self, x: Tensor) -> None:
        super()._observe(x.clamp(max=self.largest))


def as_it_lies(x: Tensor) -> Tensor:
    """Channels-last activations (N, C, H, W) as (N, H, W, C): an observer would copy them to go through in order."""
    return x.permute(0, 2, 3, 1) if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last) else x


class ConvBn2d(qat.ConvBn2d):
    """Convolution by rounded weights that hold batch norm's scale, then batch norm of what it would be without."""

    def _forward(self: Any, x: Tensor) -> Tensor:
        bn = self.bn
        scale = bn.weight / torch.sqrt(bn.running_var + bn.eps)
        per_channel = scale.view(-1, 1, 1, 1)
        weight = self.weight_fake_quant(self.weight * per_channel)
        if bn.training:  # linear in the weights, so they are divided instead of the output
            return bn(self._conv_forward(x, weight / per_channel, self.bias))
        mean = bn.running_mean if self.bias is None else bn.running_mean - self.bias
        return self._conv_forward(x, weight, bn.bias - mean * scale)


class ConvBnReLU2d(qat.ConvBnReLU2d):
    """The same, and ReLU."""

    _forward = ConvBn2d._forward

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self._forward(x), inplace=True)


_TORCHS: dict[type, type] = {ConvBn2d: qat.ConvBn2d, ConvBnReLU2d: qat.ConvBnReLU2d}


def qat_modules() -> dict[type, type]:
    """What ``prepare_qat`` shall make of which module."""
    ours: dict = {intrinsic.ConvBn2d: ConvBn2d, intrinsic.ConvBnReLU2d: ConvBnReLU2d}
    return ao.get_default_qat_module_mappings() | ours


def as_torchs(network: nn.Module) -> nn.Module:
    """The network itself, in place, of torch's classes, which have the same state."""
    for module in network.modules():
        module.__class__ = _TORCHS.get(type(module), type(module))
    return network
