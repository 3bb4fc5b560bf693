"""Outlines, their colours, and painting them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

Rng = np.random.Generator
Colour = tuple[int, ...]  # RGB or RGBA, 0-255
Shape = tuple[np.ndarray, Colour]  # polygon of shape (points, 2), and its fill
Size = tuple[int, int]  # width, height in pixels


def pick(rng: Rng, choices: Sequence[Any]) -> Any:
    return choices[int(rng.integers(len(choices)))]


def tone(colour: Colour, factor: float) -> Colour:
    return tuple(max(0, min(255, int(channel * factor + 12 * (factor - 0.5)))) for channel in colour)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    return tuple(round(a + (b - a) * share) for a, b in zip(first, second, strict=True))


def unit(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)])


def egg(x: float, y: float, length: float, width: float, taper: float = 0, tilt: float = 0) -> np.ndarray:
    """Outline, shape (28, 2), of an egg of half axes ``length`` and ``width``; ``taper`` slims its front."""
    turn = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    along, across = length * np.cos(turn), width * np.sin(turn) * (1 - taper * np.cos(turn))
    return np.outer(along, unit(tilt)) + np.outer(across, unit(tilt + np.pi / 2)) + (x, y)


def limb(joints: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Outline of a tube through ``joints``, shape (n, 2), with half width ``widths``, shape (n,), at each."""
    tangent = np.gradient(joints, axis=0)
    normal = tangent[:, ::-1] * (-1, 1) / (np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9)
    return np.concatenate([joints + normal * widths[:, None], (joints - normal * widths[:, None])[::-1]])


def tube(joints: np.ndarray, widths: np.ndarray, colour: Colour) -> Iterator[Shape]:
    """A round limb: a dark rim with a lighter core."""
    yield limb(joints, widths), tone(colour, 0.6)
    yield limb(joints, widths * 0.45), tone(colour, 1.25)


def paint(picture: Image.Image, shapes: Iterable[Shape], scale: int = 1) -> Image.Image:
    """``picture`` with ``shapes``, in its pixels, painted over it; edges are smoothed by ``scale``."""
    large = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(large, "RGBA")
    for points, colour in shapes:
        pen.polygon((points * scale).ravel().tolist(), fill=colour)
    return large.reduce(scale)
