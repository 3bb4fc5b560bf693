"""What int8 cost: the finished network beside what it was before, photo by photo and layer by layer."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hymtl.deploy.evaluation import Score

WORST = 10  # layers listed


def cost(scores: dict[str, Score], photos: Sequence[str]) -> dict:
    """The record of each step of ``scores``, in order: ``float`` (to ``fake_quant``) to ``int8``.

    A step has the names of the ``photos`` that it ``lost`` (right before, wrong after) and ``gained``, the mean and
    largest absolute difference of logits, and the cosine between the features before and after, mean over
    photos and smallest.
    """
    return {
        "val_acc": {name: score.accuracy for name, score in scores.items()},
        "steps": [{"from": a, "to": b, **_step(scores[a], scores[b], photos)} for a, b in pairwise(scores)],
    }


def _step(before: Score, after: Score, photos: Sequence[str]) -> dict:
    error = (after.logits - before.logits).abs()
    cosine = F.cosine_similarity(after.features, before.features)
    right = [score.logits.argmax(dim=1) == score.labels for score in (before, after)]
    return {
        "lost": _names(right[0] & ~right[1], photos),
        "gained": _names(~right[0] & right[1], photos),
        "logit_error": {"mean": error.mean().item(), "max": error.max().item()},
        "feature_cosine": {"mean": cosine.mean().item(), "min": cosine.min().item()},
    }


def _names(chosen: Tensor, photos: Sequence[str]) -> list[str]:
    return [photos[index] for index in chosen.nonzero().flatten().tolist()]


@torch.no_grad()
def worst_layers(reference: nn.Module, int8: nn.Module, pictures: Tensor) -> list[dict]:
    """The layers with the least signal-to-quantization-noise ratio, in dB, least first.

    Both networks get ``pictures`` (N, C, H, W), so a layer's noise includes what its inputs brought. Layers are
    matched by name; those whose int8 output is not a quantized tensor are left out.
    """
    before: dict[str, Tensor] = {}
    ratios: dict[str, float] = {}

    def note(name: str, output: Tensor) -> None:
        before[name] = output.clone()  # an activation that works in place may follow

    def measure(name: str, output: Tensor) -> None:
        if name in before and isinstance(output, Tensor) and output.is_quantized:
            signal, noise = before[name], output.dequantize() - before[name]
            ratios[name] = 10 * torch.log10(signal.square().sum() / noise.square().sum().clamp(min=1e-20)).item()

    layers = [name for name, module in int8.named_modules() if hasattr(module, "weight")]
    for network, look in ((reference, note), (int8, measure)):
        handles = [
            network.get_submodule(name).register_forward_hook(lambda _m, _i, output, n=name, f=look: f(n, output))
            for name in layers
            if name in dict(network.named_modules())
        ]
        network(pictures)
        for handle in handles:
            handle.remove()
    worst = sorted(ratios, key=ratios.__getitem__)[:WORST]
    return [{"layer": name, "sqnr_db": round(ratios[name], 2)} for name in worst]
