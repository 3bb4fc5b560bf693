"""The pictures of a run: what went in, what came out, where it was wrong, how it got there."""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from hymtl.pictures.fonts import legible, provide

DPI = 100
RIGHT, WRONG = "#1a7f37", "#cf222e"
INT8_WORDS = (
    "lost: right before this step, wrong after it; gained: the other way round. cosine: how alike the features are "
    "before and after, 1 is the same.\nsignal to quantization noise: how much stronger a layer's output is than the "
    "error that int8 puts on it; every 20 dB is a factor of ten, so long bars are good."
)
TRAIN, VAL = "#9a6700", "#0969da"


def pixels(figure: Figure) -> np.ndarray:
    """A figure, drawn: uint8 (height, width, 3)."""
    canvas = FigureCanvasAgg(figure)  # no screen needed
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def photo_grid(pictures: Tensor, captions: Sequence[str], colours: Sequence[str], title: str) -> Figure:
    """Square uint8 pictures (N, C, size, size) in rows of at most eight, each with a caption in its colour."""
    columns = min(8, max(1, len(pictures)))
    rows = max(1, math.ceil(len(pictures) / columns))
    side, line, head = 190, 17, 44  # pixels: of a photo, of a line of a caption, of the title
    lines = max((caption.count("\n") + 1 for caption in captions), default=1)
    cell_width, cell_height = side + 16, side + line * lines + 20
    width, height = max(400, columns * cell_width), rows * cell_height + head
    figure = _figure([title, *captions], figsize=(width / DPI, height / DPI), dpi=DPI)
    figure.suptitle(legible(title), y=1 - 12 / height, va="top")
    for index, (picture, caption, colour) in enumerate(zip(pictures, captions, colours, strict=True)):
        row, column = divmod(index, columns)
        # Pixel by pixel, without axes: two dozen axes would take longer to draw than all else that a run draws.
        left, bottom = column * cell_width + (cell_width - side) // 2, height - head - (row + 1) * cell_height
        figure.figimage(resize(picture.expand(3, -1, -1), [side, side]).permute(1, 2, 0).numpy(), left, bottom)
        middle, above = left + side / 2, bottom + side + 6
        shown = "\n".join(shortened(legible(words), 25) for words in caption.split("\n"))
        figure.text(middle / width, above / height, shown, fontsize=9, color=colour, ha="center", va="bottom")
    return figure


def shortened(text: str, most: int) -> str:
    """``text`` with its middle left out where it is wider than ``most`` Latin letters; Korean ones are two wide."""
    if _width(text) <= most:
        return text
    tail = _fitting(text[::-1], most // 2)[::-1]
    return f"{_fitting(text, most - _width(tail) - 1)}\u2026{tail}"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _fitting(text: str, most: int) -> str:
    """As much of the beginning of ``text`` as is ``most`` wide."""
    widths = accumulate(_width(letter) for letter in text)
    return text[: sum(width <= most for width in widths)]


def _figure(texts: Sequence[str], **options: Any) -> Figure:
    """A figure for these texts, whose letters are found in any script that the machine has."""
    provide(map(legible, texts))
    return Figure(**options)


def predictions(
    pictures: Tensor, labels: Tensor, probabilities: Tensor, classes: Sequence[str], title: str, notes: Sequence[str]
) -> Figure:
    """Photos with the class they were given, the probability of it, and, in red, what they are where that is wrong.

    pictures uint8 (N, C, size, size), labels int64 (N), probabilities (N, classes), a note for each, empty for most.
    """
    captions, colours = [], []
    for label, row, note in zip(labels.tolist(), probabilities, notes, strict=True):
        guess = int(row.argmax())
        right = guess == label
        caption = f"{classes[guess]} {row[guess]:.0%}" + ("" if right else f"\nis {classes[label]}")
        captions.append(f"{note}\n{caption}" if note else caption)
        colours.append(RIGHT if right else WRONG)
    return photo_grid(pictures, captions, colours, title)


def confusion(matrix: Tensor, classes: Sequence[str], title: str) -> Figure:
    """Counts (classes, classes), rows the true class, columns the predicted one; of many, mistakes in red."""
    count, many = len(classes), len(classes) > 20
    names = [shortened(legible(name), 32) for name in classes]
    longest = max(map(_width, names), default=0)
    side = max(2.6, (0.17 if many else 0.5) * count) + (0.055 if many else 0.085) * longest * (2 if many else 1) + 0.6
    figure = _figure([title, *names], figsize=(max(side + 1.2, 0.1 * len(title) + 0.5), side + 0.5))
    figure.set_layout_engine(
        "constrained", h_pad=0.2 if many else 0.04
    )  # inches; names of many stand below the title too
    figure.suptitle(legible(title))  # over all of it, as a matrix of few classes is narrower than its title
    axes = figure.subplots()
    image = axes.imshow(matrix, cmap="Blues", vmin=0, vmax=max(1, int(matrix.max())))
    axes.set(xlabel="predicted", ylabel="true")
    upright = count <= 3 and longest <= 10
    axes.set_xticks(range(count), names, rotation=0 if upright else 90)
    axes.set_yticks(range(count), names)
    if many:
        _ruled(axes, count)
    for row, column in np.argwhere(np.asarray(matrix) > (0 if many else -1)).tolist():
        photos = int(matrix[row, column])
        colour = "white" if photos > matrix.max() / 2 else "black"
        if many and row != column:
            colour = WRONG
        words, size = _counted(photos, 3 if many else 5), 6 if many else None
        axes.text(column, row, words, ha="center", va="center", color=colour, fontsize=size)
    figure.colorbar(image, label="photos", shrink=0.8, ticks=MaxNLocator(integer=True, min_n_ticks=1))
    return figure


def _counted(photos: int, digits: int) -> str:
    """A count that fits into a cell: of more digits than have room, in thousands."""
    return str(photos) if photos < 10**digits else f"{photos / 1000:.0f}k"


def _ruled(axes: Axes, classes: int) -> None:
    """Fine lines to follow from a cell to its names, which are small and stand on all sides."""
    edges = np.arange(classes) - 0.5
    axes.set_xticks(edges, minor=True)
    axes.set_yticks(edges, minor=True)
    axes.grid(which="minor", color="#d0d7de", linewidth=0.4)
    axes.tick_params(which="minor", length=0)
    axes.tick_params(labelsize=7, labeltop=True)
    axes.tick_params("x", rotation=90)


def int8_cost(cost: dict, sizes: dict, title: str) -> Figure:
    """What int8 cost: the record of :func:`hymtl.deploy.fidelity.cost` with its worst layers; sizes in bytes."""
    figure = _figure([title], figsize=(12, 4.6), layout="constrained")
    figure.suptitle(legible(title))
    figure.supxlabel(INT8_WORDS, fontsize=8, color="#57606a")
    accuracy, layers, size = figure.subplots(1, 3, width_ratios=(5, 6, 2))
    names = list(cost["val_acc"])
    values = [cost["val_acc"][name] for name in names]
    accuracy.plot(values, color=VAL, marker="o")
    for x, value in enumerate(values):
        accuracy.annotate(f"{value:.3f}", (x, value), (0, 9), textcoords="offset points", ha="center")
    for x, step in enumerate(cost["steps"]):
        text = f"{len(step['lost'])} lost\n{len(step['gained'])} gained\ncosine {step['feature_cosine']['mean']:.4f}"
        accuracy.annotate(text, (x + 0.5, 0.06), xycoords=("data", "axes fraction"), ha="center", fontsize=8)
    accuracy.set(ylabel="validation accuracy", xlim=(-0.4, len(names) - 0.6))
    accuracy.set_ylim(0, 1.1)  # the same in every run's picture, to be compared
    accuracy.set_xticks(range(len(names)), [name.replace("_", "-") for name in names])
    worst = cost["worst_layers"][::-1]
    layers.barh(
        [layer["layer"].removeprefix("backbone.") for layer in worst], [x["sqnr_db"] for x in worst], color=TRAIN
    )
    layers.tick_params(axis="y", labelsize=8)
    if not worst:  # graphs (PT2E) have no layers by name
        layers.text(0.5, 0.5, "layers not compared", ha="center", transform=layers.transAxes)
    layers.set(title="the noisiest layers", xlabel="signal to quantization noise, dB", xlim=(0, 60))
    shares = [100.0, 100 * sizes["int8"] / sizes["float"]]
    bars = size.bar(["float", "int8"], shares, color=["#8c959f", VAL])
    size.bar_label(bars, [f"{sizes[name] / 1e6:.1f} MB" for name in ("float", "int8")])
    size.set(title=f"{shares[1]:.0f}% of the size", ylabel="% of the float network's size", ylim=(0, 115))
    return figure


def curves(history: Mapping[str, Sequence[float | None]], best_epoch: int, title: str) -> Figure:
    """Loss and accuracy of train and val over the epochs, whose numbers ``history`` has under ``"epoch"``."""
    figure = _figure([title], figsize=(9, 3.6), layout="constrained")
    figure.suptitle(legible(title))
    epochs = [epoch for epoch in history["epoch"] if epoch is not None]
    for axes, metric, label in zip(figure.subplots(1, 2), ("loss", "acc"), ("cross entropy", "accuracy"), strict=True):
        for stage, colour in (("train", TRAIN), ("val", VAL)):
            if f"{stage}/{metric}" in history:  # not of val, where none was held out
                axes.plot(history["epoch"], history[f"{stage}/{metric}"], color=colour, marker=".", label=stage)
        axes.axvline(best_epoch, color="#8c959f", linestyle=":", label="best epoch")
        axes.set(xlabel="epoch", ylabel=label)
        if epochs:
            axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
