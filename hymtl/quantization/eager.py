"""int8 quantization in eager mode, by ``torch.ao.quantization``; see :class:`hymtl.quantization.Quantizer`.

A *qconfig* says how activations and weights are observed; *convert* swaps modules for int8 ones, which run on the CPU
only, by one of several engines. The modules of QAT are those of :mod:`hymtl.quantization.fake_quant`.
"""

import contextlib
import copy
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.ao import quantization as ao
from torch.ao.nn import intrinsic

from hymtl.errors import HymtlError, did_you_mean
from hymtl.quantization import PICTURE, Picture
from hymtl.quantization.bias_correction import channel_means, correct_bias
from hymtl.quantization.fake_quant import (
    ClippedFakeQuantize,
    FakeQuantize,
    as_it_lies,
    as_torchs,
    qat_modules,
)

N = TypeVar("N", bound=nn.Module)
# onednn first: as fast as x86 on CPUs with VNNI and not slower elsewhere; qnnpack is made for ARM.
ENGINES = ("onednn", "x86", "fbgemm", "qnnpack")


def choose_engine(engine: str = "auto") -> str:
    """The quantized engine to use: ``engine`` itself, or the best of this CPU for ``"auto"``.

    Raises:
        HymtlError: if the engine is unknown or this build of torch or this CPU lacks it.
    """
    available = [name for name in ENGINES if name in torch.backends.quantized.supported_engines]
    if engine == "auto":
        return available[0]
    if engine not in available:
        known = "is not available on this machine" if engine in ENGINES else "is unknown"
        raise HymtlError(f"strategy.engine={engine} {known}. {did_you_mean(engine, ['auto', *available])}")
    return engine


def set_engine(engine: str) -> None:
    """Make ``engine`` the one that converted modules pack their weights for and run on."""
    torch.backends.quantized.engine = engine


def overflows(engine: str) -> bool:
    """x86 CPUs without VNNI add in 16 bits."""
    return engine != "qnnpack" and not torch.cpu._is_vnni_supported()


def _fuse(backbone: nn.Module, *, is_qat: bool) -> None:
    cast(Any, backbone).fuse_model(is_qat=is_qat)  # see obstacle()


def _set_qconfig(module: nn.Module, qconfig: ao.QConfig) -> None:
    cast(Any, module).qconfig = qconfig


def obstacle(body: nn.Module, picture: Picture) -> str | None:
    """Modules are swapped one by one, so the network must say where int8 begins and ends, and what is fused."""
    return None if hasattr(body, "fuse_model") else "it has no stubs and no fuse_model(), which eager mode needs"


class HistogramObserver(ao.HistogramObserver):
    """torch's, without the copy in another order that it makes of channels-last activations, twice."""

    def forward(self, activation: Tensor) -> Tensor:
        super().forward(as_it_lies(activation))
        return activation


class DepthwiseWeightObserver(ao.PerChannelMinMaxObserver):
    """Weight scales, per channel, with which the engine's depthwise kernels cannot overflow.

    FBGEMM (engines ``fbgemm`` and ``x86``) multiplies uint8 activations by int8 weights and adds two such
    products in 16 bits, which saturates, in depthwise convolutions even where the CPU has VNNI. If the two
    largest weights of a channel add up to at most 128, no two can: 255 * 128 < 2**15. Keeping all weights to
    7 bits would do as well, but costs three times the error on EfficientNet-Lite0, whose kernels have one
    large weight in the middle (source of the limit: the x86 instruction ``vpmaddubsw``).
    """

    def forward(self, weight: Tensor) -> Tensor:
        super().forward(weight)
        magnitudes = weight.detach().abs().flatten(1)
        largest_two = magnitudes.topk(min(2, magnitudes.shape[1])).values.sum(dim=1)
        limit = torch.maximum(self.max_val, largest_two * (self.quant_max / 128))
        self.max_val.copy_(limit)
        self.min_val.copy_(-limit)
        return weight


# Symmetric to the last level: with torch's -128 to 127 the largest weight of a channel, which falls on 127.5,
# is cut off, and in a depthwise kernel that is the one that counts.
_WEIGHT = {"dtype": torch.qint8, "qscheme": torch.per_channel_symmetric, "quant_min": -127, "quant_max": 127}


def _overflows_in_depthwise(engine: str) -> bool:
    return engine in ("x86", "fbgemm")


def qat_qconfig(engine: str, reduce_range: bool) -> ao.QConfig:
    """Fake-quant for training: moving-average ranges, per-channel 8-bit weights."""
    activation = FakeQuantize.with_args(
        observer=ao.MovingAverageMinMaxObserver,
        quant_min=0,
        quant_max=255,
        reduce_range=reduce_range,
    )
    weight = ao.get_default_qat_qconfig(engine).weight.p.keywords
    return ao.QConfig(activation=activation, weight=FakeQuantize.with_args(**weight))


def calibration_qconfig(engine: str) -> ao.QConfig:
    """Observers for post-training quantization: histograms of activations, per-channel 8-bit weights."""
    activation = HistogramObserver.with_args(reduce_range=overflows(engine))
    return ao.QConfig(activation=activation, weight=ao.PerChannelMinMaxObserver.with_args(**_WEIGHT))


def prepare_calibration(backbone: nn.Module, engine: str) -> nn.Module:
    """Fuse a float backbone and put observers into it, in place; leaves it in eval mode."""
    set_engine(engine)
    _fuse(backbone.eval(), is_qat=False)
    _set_qconfig(backbone, calibration_qconfig(engine))
    if _overflows_in_depthwise(engine):
        _limit_depthwise(backbone, DepthwiseWeightObserver.with_args(**_WEIGHT))
    ao.prepare(backbone, inplace=True)
    return backbone


def prepare_qat(
    backbone: nn.Module, engine: str, reduce_range: bool, *, picture: Picture = PICTURE, observe: bool = False
) -> nn.Module:
    """Fuse a float backbone for training and put fake-quant into it, in place.

    Unless ``observe``, observers are left switched off: only :func:`observing` moves a range.
    """
    set_engine(engine)
    _fuse(backbone.train(), is_qat=True)
    _set_qconfig(backbone, qat_qconfig(engine, reduce_range))
    _clip_relu6(backbone)
    if _overflows_in_depthwise(engine):
        # Not the fused fake-quant: that one has a moving average of its own and never calls its observer.
        _limit_depthwise(backbone, ao.FakeQuantize.with_args(observer=DepthwiseWeightObserver, **_WEIGHT))
    ao.prepare_qat(backbone, mapping=qat_modules(), inplace=True)
    if not observe:
        stop_observing(backbone)
        _observe_weights(backbone)
    return backbone


@torch.no_grad()
def _observe_weights(backbone: nn.Module) -> None:
    """Ranges of the weights, which need no pictures, so that evaluating before training finds and leaves them set.

    In eval mode and by a forward pass, as it is the weights with batch norm folded in that are rounded; they
    are the same in the first training step, so nothing changes there.
    """
    weights: list[Any] = [
        module.weight_fake_quant for module in backbone.modules() if hasattr(module, "weight_fake_quant")
    ]
    for fake_quant in weights:
        fake_quant.enable_observer()
    backbone.eval()(torch.zeros(1, 3, 64, 64))
    backbone.train()
    stop_observing(backbone)


@torch.no_grad()
def calibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Show normalized pictures (N, 3, H, W) to the observers of a prepared network."""
    for pictures in batches:
        network(pictures)


@contextlib.contextmanager
def _observers_off(network: nn.Module) -> Iterator[None]:
    """Have the observers of calibration, which cannot be switched, pass on what they get inside the block."""
    observers: list[Any] = [module for module in network.modules() if isinstance(module, ao.ObserverBase)]
    for observer in observers:
        observer.forward = lambda activation: activation
    try:
        yield
    finally:
        for observer in observers:
            del observer.forward


@contextlib.contextmanager
def observing(network: nn.Module) -> Iterator[None]:
    """Switch the fake-quant observers on inside the block and off again after it.

    Observers move in every forward pass while they are on, evaluation included, so a validation epoch
    would leak its ranges into the network. With this block around the training step alone, nothing else
    can move them.
    """
    network.apply(ao.enable_observer)
    try:
        yield
    finally:
        stop_observing(network)


def stop_observing(network: nn.Module) -> None:
    """Leave every range of a network in QAT where it is from now on."""
    network.apply(ao.disable_observer)


def fused(backbone: nn.Module) -> nn.Module:
    """A float copy, in eval mode, fused as its int8 version is: layer by layer the same names and meaning."""
    copied = copy.deepcopy(backbone).cpu().eval()
    _fuse(copied, is_qat=False)
    return copied


@torch.no_grad()
def as_float(int8: nn.Module, body: nn.Module) -> nn.Module:
    """The float backbone that an int8 one rounds: layer by layer its weights, in the layers of the same names."""
    twin = fused(body)
    for name, module in int8.named_modules():
        if callable(weight := getattr(module, "weight", None)):
            layer = twin.get_submodule(name)
            layer = layer[0] if isinstance(layer, nn.Sequential) else layer  # with its ReLU
            assert isinstance(layer, nn.Conv2d | nn.Linear) and isinstance(module, nn.Module)
            layer.weight.copy_(weight().dequantize())
            if layer.bias is None:
                layer.bias = nn.Parameter(torch.zeros(len(layer.weight)))
            bias = module.bias()  # type: ignore[operator]  # of an int8 layer it is a method
            layer.bias.zero_() if bias is None else layer.bias.copy_(bias)
    return twin


def still(network: N, *, rounding: bool) -> N:
    """A copy of a network in QAT, in eval mode, that nothing moves, with or without its rounding to int8."""
    copied = copy.deepcopy(network).cpu().eval()
    stop_observing(copied)
    return copied if rounding else copied.apply(ao.disable_fake_quant)


def convert(network: nn.Module, engine: str) -> nn.Module:
    """An int8 copy, on the CPU and in eval mode, of a prepared network, which itself stays as it was."""
    set_engine(engine)
    int8 = copy.deepcopy(network).cpu().eval()
    return ao.convert(as_torchs(int8), inplace=True)


def post_training(backbone: nn.Module, engine: str, batches: Iterable[Tensor]) -> nn.Module:
    """The int8 backbone of a float one, which is taken apart, calibrated on ``batches`` of (N, 3, H, W)."""
    batches = list(batches)
    prepare_calibration(backbone, engine)
    with channel_means(backbone) as means:
        calibrate(backbone, batches)
    with _observers_off(backbone):  # they have seen it all, and take longer than the network
        correct_bias(backbone, _rounded_weight, torch.cat(batches), means)
    return convert(backbone, engine)


def untrained_int8(backbone: nn.Module, engine: str, size: int) -> nn.Module:
    """The int8 architecture of a float backbone, for a state dict to be loaded into; takes the backbone apart.

    One blank picture of ``size`` pixels goes through it, so that every observer has a range of the right shape.
    """
    prepare_calibration(backbone, engine)
    calibrate(backbone, [torch.zeros(1, 3, size, size)])
    return convert(backbone, engine)


def _limit_depthwise(backbone: nn.Module, weight: type) -> None:
    """Have ``weight`` observe the depthwise convolutions, alone or fused, before modules are swapped."""
    for module in backbone.modules():
        fused = isinstance(module, nn.Sequential) and hasattr(intrinsic, type(module).__name__)
        conv = module[0] if isinstance(module, nn.Sequential) and fused else module
        if isinstance(conv, nn.Conv2d) and conv.groups == conv.in_channels > 1:
            activation = getattr(module, "qconfig", cast(ao.QConfig, backbone.qconfig)).activation
            _set_qconfig(module, ao.QConfig(activation=activation, weight=weight))


def _rounded_weight(layer: nn.Module) -> Tensor:
    """The weight of a prepared layer as conversion will round it, in float."""
    observer, weight = cast(ao.QConfig, layer.qconfig).weight(), cast(Tensor, layer.weight)
    observer(weight)
    scale, zero_point = observer.calculate_qparams()
    return torch.fake_quantize_per_channel_affine(weight, scale, zero_point.int(), 0, -127, 127)


def _clip_relu6(backbone: nn.Module) -> None:
    """Have the fake-quant of every fused ReLU6 cut activations at 6, before ``prepare_qat`` swaps the modules."""
    qconfig = cast(ao.QConfig, backbone.qconfig)
    activation = ClippedFakeQuantize.with_args(**qconfig.activation.p.keywords)
    for module in backbone.modules():
        if isinstance(module, intrinsic.ConvBnReLU2d) and isinstance(module[-1], nn.ReLU6):
            _set_qconfig(module, ao.QConfig(activation=activation, weight=qconfig.weight))
