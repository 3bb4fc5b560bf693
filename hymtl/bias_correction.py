"""Bias correction: undo the shift that rounding weights gives to the mean of each channel."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


@torch.no_grad()
def correct_bias(network: nn.Module, rounded: Callable[[nn.Module], Tensor], pictures: Tensor) -> None:
    """Move the biases of ``network``, in place, so that with rounded weights each channel keeps its mean.

    ``network`` is float, in eval mode, its batch norms folded; ``rounded`` gives a layer's weight as int8 will
    have it; the means are over ``pictures`` (N, C, H, W), which must be training pictures.

    One pass notes the means. A second, with rounded weights, corrects each layer as it is reached, so that later
    layers see inputs that are corrected already. The weights come back as they were: only biases change.

    Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (ICCV 2019),
    the empirical variant of its section 4.2.
    """
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear) and m.bias is not None]
    means: dict[nn.Module, Tensor] = {}

    def note(layer: nn.Module, _inputs: tuple, output: Tensor) -> None:
        means[layer] = _channel_means(output)

    def correct(layer: nn.Module, _inputs: tuple, output: Tensor) -> Tensor:
        shift = _channel_means(output) - means[layer]
        layer.bias -= shift
        return output.sub_(shift.view(1, -1, *[1] * (output.ndim - 2)))  # in place: these are the largest tensors

    _run_with_hook(network, layers, note, pictures)
    weights = {layer: layer.weight.data for layer in layers}
    for layer in layers:
        layer.weight.data = rounded(layer)
    _run_with_hook(network, layers, correct, pictures)
    for layer in layers:
        layer.weight.data = weights[layer]


def _channel_means(output: Tensor) -> Tensor:
    """(N, C) or (N, C, H, W) to (C)."""
    return output.mean([dim for dim in range(output.ndim) if dim != 1])


def _run_with_hook(network: nn.Module, layers: list[nn.Module], hook: Callable, pictures: Tensor) -> None:
    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        network(pictures)
    finally:
        for handle in handles:
            handle.remove()
