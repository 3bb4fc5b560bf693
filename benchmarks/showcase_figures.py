"""Figures that docs/ explains with: the levels of int8, and how far confidence can be believed."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from benchmarks.quantization import load
from hymtl import records
from hymtl.backbones import pretrained
from hymtl.data.batches import PictureBatches
from hymtl.data.sources import find_photos
from hymtl.quantization import eager
from hymtl.records.result import Result

FLOAT, GOOD, BAD = "#24292f", "#0969da", "#cf222e"
BINS = 5  # of confidence, from one half to one


def levels(source: str, photos: Path) -> Image.Image:
    """Weights and activations of efficientnet_lite0's first depthwise layer, batch norm fused, and what rounds them."""
    found = pretrained.find("efficientnet_lite0", "imagenet")
    body = eager.fused(load(found))
    layer = next(part for part in body.modules() if isinstance(part, nn.Conv2d) and part.groups > 1)
    as_deployed = {"augmentation": "none", "resize": 224, "batch_size": 16, "workers": 0}
    data = PictureBatches(find_photos(source, str(photos)), found.backbone.preprocessing, **as_deployed)
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    kernel, ranges, outputs = figure.subplots(1, 3)
    weights = layer.weight.detach().flatten(1)
    _kernel(kernel, weights)
    _ranges(ranges, weights)
    _outputs(outputs, _given(body, layer, data))
    return _drawn(figure)


def _kernel(axes: Axes, weights: Tensor) -> None:
    """The weights of one channel, as they are, on levels of its own and on levels that all channels share."""
    largest = weights.abs().amax(1)
    channel = largest.argsort()[len(largest) // 8]
    kernel, own, shared = weights[channel], largest[channel] / 127, largest.max() / 127
    axes.plot(kernel, "o", color=FLOAT, markersize=7, label="float")
    axes.plot((kernel / own).round() * own, "x", color=GOOD, markersize=9, label="int8, scale of the channel")
    axes.plot((kernel / shared).round() * shared, "_", color=BAD, markersize=14, label="int8, one scale for all")
    axes.set(title=f"the 9 weights of channel {int(channel)}", xlabel="weight", xticks=range(9))
    axes.legend(fontsize=8)


def _ranges(axes: Axes, weights: Tensor) -> None:
    """How many levels each channel would have left under one scale for all."""
    largest = weights.abs().amax(1).sort().values
    axes.bar(range(len(largest)), 127 * largest / largest.max(), color=BAD, width=0.8)
    axes.axhline(127, color=GOOD, label="with a scale of its own: 127")
    axes.set(title="levels a channel can use, of 127", xlabel="channels, by their largest weight", ylim=(0, 140))
    axes.legend(fontsize=8, loc="upper left", title="red: one scale for all", title_fontsize=8)


def _outputs(axes: Axes, given: Tensor) -> None:
    """What the layer gives, and the signal-to-quantization-noise ratio on 8 and on 7 bits."""
    axes.hist(given.numpy(), bins=120, color="#8c959f", log=True)
    for bits, colour in ((8, GOOD), (7, BAD)):
        step = float(given.max() - given.min()) / (2**bits - 1)
        noise = (given / step).round() * step - given
        decibels = 10 * torch.log10(given.square().sum() / noise.square().sum())
        axes.plot([], [], color=colour, label=f"{bits} bits: {decibels:.1f} dB")
    axes.set(title="activations, 64 training photos", xlabel="value after ReLU6", ylabel="how many (logarithmic)")
    axes.legend(fontsize=8, title="signal to rounding noise", title_fontsize=8)


@torch.no_grad()
def _given(body: nn.Module, layer: nn.Conv2d, data: PictureBatches) -> Tensor:
    """A million of the values that the layer gives, after ReLU6, for the pictures that calibration takes."""
    seen: list[Tensor] = []
    handle = layer.register_forward_hook(lambda *given: seen.append(given[-1].clamp(0, 6).flatten()))
    for pictures in data.calibration_batches():
        body(pictures)
    handle.remove()
    values = torch.cat(seen)
    return values[:: max(1, len(values) // 1_000_000)]


def reliability(runs: Sequence[Path]) -> Image.Image:
    """Of two-class runs: how often what was said with a confidence was right, before and after the temperature."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    for axes, title, calibrated in zip(figure.subplots(1, 2), ("as trained", "with a temperature"), (False, True)):
        said, right = (np.concatenate(part) for part in zip(*(_guesses(run, calibrated) for run in runs), strict=True))
        edges = np.linspace(0.5, 1, BINS + 1)
        places = np.clip(np.digitize(said, edges) - 1, 0, BINS - 1)
        axes.plot((0.5, 1), (0.5, 1), color="#8c959f", linestyle=":")
        for place in sorted(set(places.tolist())):
            here = places == place
            axes.plot(said[here].mean(), right[here].mean(), "o", color=GOOD, markersize=5 + np.sqrt(here.sum()) / 2)
            spot = (said[here].mean(), right[here].mean())
            axes.annotate(str(here.sum()), spot, (-8, 8), textcoords="offset points", fontsize=8, ha="right")
        axes.set(title=title, xlabel="confidence", ylabel="share that is right", xlim=(0.48, 1.03), ylim=(0.2, 1.08))
    return _drawn(figure)


def _guesses(run: Path, calibrated: bool) -> tuple[np.ndarray, np.ndarray]:
    """Confidence (N) in float64, and whether it was right (N), of a run's validation photos."""
    temperature = records.read(Result, run / "result.json").calibration["float"].temperature
    with (run / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    chances = np.clip([[float(row[name]) for name in row if name.startswith("p(")] for row in rows], 1e-6, 1)
    if not calibrated:  # the file's are: back to what the network said itself
        chances = chances**temperature
        chances /= chances.sum(1, keepdims=True)
    return chances.max(1), np.array([row["guess"] == row["label"] for row in rows])


def _drawn(figure: Figure) -> Image.Image:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return Image.open(file)
