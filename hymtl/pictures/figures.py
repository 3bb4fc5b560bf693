"""The pictures of a run: what went in, what came out, where it was wrong, how it got there."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor
from torchvision.transforms.v2.functional import resize

DPI = 100
RIGHT, WRONG = "#1a7f37", "#cf222e"
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
    cell_width, cell_height, side, head = 190, 225, 176, 40  # pixels: of a cell, of a photo in it, of the title
    width, height = columns * cell_width, rows * cell_height + head
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    figure.suptitle(title, y=1 - 10 / height, va="top")
    for index, (picture, caption, colour) in enumerate(zip(pictures, captions, colours, strict=True)):
        row, column = divmod(index, columns)
        # Pixel by pixel, without axes: two dozen axes would take longer to draw than all else that a run draws.
        left, bottom = column * cell_width + (cell_width - side) // 2, height - head - (row + 1) * cell_height
        figure.figimage(resize(picture.expand(3, -1, -1), [side, side]).permute(1, 2, 0).numpy(), left, bottom)
        middle, above = left + side / 2, bottom + side + 8
        figure.text(middle / width, above / height, caption, fontsize=8, color=colour, ha="center", va="bottom")
    return figure


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
    many = len(classes) > 20
    side = max(3.6, (0.17 if many else 0.55) * len(classes) + 2)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(matrix, cmap="Blues", vmin=0)
    axes.set(title=title, xlabel="predicted", ylabel="true")
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes)
    if many:
        _ruled(axes, len(classes))
    elif len(classes) > 3:
        axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    for row, column in np.argwhere(np.asarray(matrix) > (0 if many else -1)).tolist():
        count = int(matrix[row, column])
        colour = "white" if count > matrix.max() / 2 else "black"
        if many and row != column:
            colour = WRONG
        axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=6 if many else None)
    figure.colorbar(image, label="photos", shrink=0.8)
    return figure


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
    figure = Figure(figsize=(12, 3.9), layout="constrained")
    figure.suptitle(title)
    accuracy, layers, size = figure.subplots(1, 3, width_ratios=(5, 6, 2))
    names = list(cost["val_acc"])
    values = [cost["val_acc"][name] for name in names]
    accuracy.plot(values, color=VAL, marker="o")
    for x, value in enumerate(values):
        accuracy.annotate(f"{value:.3f}", (x, value), (0, 9), textcoords="offset points", ha="center")
    for x, step in enumerate(cost["steps"]):
        text = f"{len(step['lost'])} lost\n{len(step['gained'])} gained\ncosine {step['feature_cosine']['mean']:.4f}"
        accuracy.annotate(text, (x + 0.5, 0.04), xycoords=("data", "axes fraction"), ha="center", fontsize=8)
    accuracy.set(ylabel="validation accuracy", xlim=(-0.4, len(names) - 0.6))
    accuracy.set_ylim(min(values) - 0.06, max(values) + 0.02)
    accuracy.set_xticks(range(len(names)), [name.replace("_", "-") for name in names])
    worst = cost["worst_layers"][::-1]
    layers.barh(
        [layer["layer"].removeprefix("backbone.") for layer in worst], [x["sqnr_db"] for x in worst], color=TRAIN
    )
    layers.tick_params(axis="y", labelsize=8)
    if not worst:  # graphs (PT2E) have no layers by name
        layers.text(0.5, 0.5, "layers not compared", ha="center", transform=layers.transAxes)
    layers.set(title="the noisiest layers", xlabel="signal to quantization noise, dB")
    size.bar(["float", "int8"], [sizes["float"] / 1e6, sizes["int8"] / 1e6], color=["#8c959f", VAL])
    size.set(title=f"{sizes['int8'] / sizes['float']:.0%} of the size", ylabel="MB")
    return figure


def curves(history: Mapping[str, Sequence[float | None]], best_epoch: int, title: str) -> Figure:
    """Loss and accuracy of train and val over the epochs, whose numbers ``history`` has under ``"epoch"``."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(title)
    for axes, metric, label in zip(figure.subplots(1, 2), ("loss", "acc"), ("cross entropy", "accuracy"), strict=True):
        for stage, colour in (("train", TRAIN), ("val", VAL)):
            axes.plot(history["epoch"], history[f"{stage}/{metric}"], color=colour, marker=".", label=stage)
        axes.axvline(best_epoch, color="#8c959f", linestyle=":", label="best epoch")
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
