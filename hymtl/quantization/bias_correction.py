"""Bias correction: undo the shift that rounding weights gives to the mean of each channel."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import cast

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def channel_means(network: nn.Module) -> Iterator[dict[nn.Module, Tensor]]:
    """The mean of each channel (C) of each layer's output, over all that ``network`` is given inside the block.

    They are whole when the block ends; layers are the convolutions and linear layers that have a bias.
    """
    sums: dict[nn.Module, Tensor] = defaultdict(lambda: torch.zeros(()))
    pictures: dict[nn.Module, int] = defaultdict(int)

    def note(layer: nn.Module, _inputs: tuple, output: Tensor) -> None:
        sums[layer] = sums[layer] + _mean(output) * len(output)
        pictures[layer] += len(output)

    with _hooked(network, note):
        yield sums
    for layer in sums:
        sums[layer] /= pictures[layer]


@torch.no_grad()
def correct_bias(
    network: nn.Module, rounded: Callable[[nn.Module], Tensor], pictures: Tensor, means: dict[nn.Module, Tensor]
) -> None:
    """Move the biases of ``network``, in place, so that with rounded weights each channel keeps its mean.

    ``network`` is float, in eval mode, its batch norms folded; ``rounded`` gives a layer's weight as int8 will
    have it; ``means``, from :func:`channel_means`, are over the same ``pictures`` (N, C, H, W), which must be training
    pictures.

    One pass with rounded weights corrects each layer as it is reached, so that later layers see inputs that are
    corrected already. The weights come back as they were: only biases change.

    Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (ICCV 2019),
    the empirical variant of its section 4.2.
    """

    def correct(layer: nn.Module, _inputs: tuple, output: Tensor) -> Tensor:
        shift = _mean(output) - means[layer]
        cast(Tensor, layer.bias).sub_(shift)
        return output.sub_(shift.view(1, -1, *[1] * (output.ndim - 2)))  # in place: these are the largest tensors

    weights = {layer: layer.weight.data for layer in _layers(network)}
    for layer in weights:
        layer.weight.data = rounded(layer)
    with _hooked(network, correct):
        network(pictures)
    for layer, weight in weights.items():
        layer.weight.data = weight


def _layers(network: nn.Module) -> list[nn.Module]:
    return [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear) and m.bias is not None]


def _mean(output: Tensor) -> Tensor:
    """(N, C) or (N, C, H, W) to (C)."""
    return output.mean([dim for dim in range(output.ndim) if dim != 1])


@contextlib.contextmanager
def _hooked(network: nn.Module, hook: Callable) -> Iterator[None]:
    handles = [layer.register_forward_hook(hook) for layer in _layers(network)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
