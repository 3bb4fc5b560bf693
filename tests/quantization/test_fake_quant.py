"""The fast modules of QAT against torch's own: values, gradients, ranges."""

import copy

import pytest
import torch
from torch import nn
from torch.ao import quantization as ao
from torch.ao.nn.intrinsic import qat

from hymtl import backbones, strategies
from hymtl.quantization import fake_quant

ACTIVATION = {"observer": ao.MovingAverageMinMaxObserver, "quant_min": 0, "quant_max": 255}


@pytest.mark.parametrize("reduce_range", [False, True])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_activations_are_rounded_as_torch_does(reduce_range, memory_format):
    """Larger pictures each time, so that the moving range lags behind and clips."""
    ours = fake_quant.FakeQuantize(**ACTIVATION, reduce_range=reduce_range)
    theirs = ao.FusedMovingAvgObsFakeQuantize(**ACTIVATION, reduce_range=reduce_range)
    pictures = torch.randn(4, 8, 10, 10).to(memory_format=memory_format)
    for size in (1, 2, 3):
        (a, grad_a), (b, grad_b) = (through(module, pictures * size) for module in (ours, theirs))
        assert torch.allclose(a, b, rtol=1e-5) and a.is_contiguous(memory_format=memory_format)
        assert torch.equal(grad_a, grad_b) and (size == 1) == bool(grad_a.all())  # clipped: no gradient
        assert len(a.unique()) <= (128 if reduce_range else 256)
    assert torch.allclose(ours.scale, theirs.scale) and torch.equal(ours.zero_point, theirs.zero_point)


@pytest.mark.parametrize("sizes", [(1, 2, 9, 3), (9, 9, 2), ()], ids=["growing", "saturated", "never observed"])
@pytest.mark.parametrize("rounding", [True, False])
@pytest.mark.parametrize("reduce_range", [False, True])
def test_relu6_is_clipped_by_the_rounding_as_before_it(sizes, rounding, reduce_range):
    """Values, gradients and the range, against a clip at 6 followed by fake-quant."""
    ours = fake_quant.ClippedFakeQuantize(**ACTIVATION, reduce_range=reduce_range)
    theirs = fake_quant.FakeQuantize(**ACTIVATION, reduce_range=reduce_range)
    both = (ours, lambda x: theirs(x.clamp(max=6)))
    pictures = torch.rand(2, 3, 20, 20)
    for module in (ours, theirs):
        module.enable_fake_quant(rounding)
    for size in sizes:
        for module in both:
            module(pictures * size)
    for module in (ours, theirs):
        module.disable_observer()
    (a, grad_a), (b, grad_b) = (through(module, pictures * 8) for module in both)
    assert torch.equal(a, b) and a.max() < 6.001
    assert torch.equal(grad_a, grad_b) and 0.1 < grad_a.mean() < 0.8
    assert torch.equal(ours.scale, theirs.scale) and torch.equal(ours.zero_point, theirs.zero_point)


def test_weights_are_rounded_in_training_as_conversion_does():
    ours = fake_quant.FakeQuantize(**ao.get_default_qat_qconfig("x86").weight.p.keywords)
    weight = torch.randn(6, 3, 3, 3) * torch.arange(1, 7).view(-1, 1, 1, 1)
    rounded, gradient = through(ours, weight)
    scale, zero_point = ours.calculate_qparams()
    int8 = torch.quantize_per_channel(weight, scale.double(), zero_point, 0, torch.qint8)
    assert torch.allclose(rounded, int8.dequantize(), rtol=1e-5)
    weight.requires_grad_()
    torch.fake_quantize_per_channel_affine(weight, scale, zero_point.int(), 0, -128, 127).sum().backward()
    border = weight.abs() / scale.view(-1, 1, 1, 1) > 127.4  # the largest, which may fall to either side
    assert torch.equal(gradient[~border], weight.grad[~border]) and border.sum() < 12


def test_what_is_switched_off_stays_so():
    ours = fake_quant.FakeQuantize(**ACTIVATION)
    pictures = torch.randn(2, 3, 4, 4)
    ours(pictures)
    before = copy.deepcopy(ours.state_dict())
    ours.disable_observer()
    ours(pictures * 9)
    assert all(torch.equal(ours.state_dict()[k], v) for k, v in before.items() if k != "observer_enabled")
    ours.disable_fake_quant()
    assert torch.equal(ours(pictures), pictures)


@pytest.mark.parametrize("backbone", ["resnet18", "efficientnet_lite0"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_without_rounding_a_step_is_torchs(backbone, training):
    """Features, the gradient of every parameter and batch norm's statistics; in eval, with batch norm held, too."""
    torch.manual_seed(0)
    ours = strategies.create("qat", engine="onednn", batch_norm="train").build(backbones.get(backbone), 2).backbone
    for name, value in ours.named_parameters():
        if name.endswith("bn.weight"):
            nn.init.uniform_(value, 0.5, 1.5)
    pictures = torch.randn(4, 3, 64, 64)
    ours.train().apply(ao.disable_fake_quant)
    for _ in range(20):  # statistics that fit, or nothing is left of the signal behind 50 layers
        ours(pictures)
    theirs = fake_quant.as_torchs(copy.deepcopy(ours))
    assert qat.ConvBnReLU2d in {type(module) for module in theirs.modules()}
    outcomes = []
    for body in (ours, theirs):
        body.train(training)
        features = body(pictures)
        features.square().mean().backward()
        gradients = {name: value.grad for name, value in body.named_parameters()}
        statistics = {name: value for name, value in body.named_buffers() if "running" in name}
        outcomes.append({"features": features.detach(), **gradients, **statistics})
    for name, theirs_value in outcomes[1].items():
        # A bias before another batch norm has no gradient but for rounding: hence the least norm.
        error = (outcomes[0][name] - theirs_value).norm() / theirs_value.norm().clamp(min=1e-4)
        assert error < 0.02, name


def through(module: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x = x.detach().clone().requires_grad_()
    y = module(x)
    y.sum().backward()
    return y.detach(), x.grad
