"""What an insect stands on, and what grows in front of it: shapes here are in pixels."""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from hymtl.data.drawing.strokes import Rng, Shape, Size, egg, limb, mix, paint, pick, tone, unit

# Dark, middle and light tone of what an insect may stand on.
LEAF = ((34, 62, 20), (82, 126, 48), (150, 182, 92))
MOSS = ((24, 50, 38), (60, 104, 70), (120, 160, 110))
SAND = ((120, 98, 66), (182, 156, 112), (226, 206, 166))
BARK = ((58, 40, 28), (110, 80, 56), (168, 134, 98))
CONCRETE = ((84, 84, 84), (138, 137, 134), (192, 190, 186))
PINK = ((150, 60, 96), (212, 122, 158), (246, 196, 212))
YELLOW = ((168, 118, 10), (226, 182, 40), (250, 228, 120))
WHITE = ((166, 160, 166), (218, 214, 218), (246, 246, 240))
VIOLET = ((70, 52, 122), (122, 100, 176), (186, 170, 220))
PETALS = (PINK, YELLOW, WHITE, VIOLET)
SURFACES = (LEAF, LEAF, MOSS, SAND, SAND, BARK, BARK, CONCRETE, *PETALS)


def noise(rng: Rng, size: Size, columns: float, rows: float) -> Image.Image:
    """Smooth grey noise with about ``columns`` by ``rows`` bumps; mode L."""
    cells = rng.integers(0, 256, (max(2, round(rows)), max(2, round(columns))), dtype=np.uint8)
    return Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC)


def _surface(rng: Rng, size: Size) -> Image.Image:
    """One material, coarse and fine grained: leaf, sand, wood, concrete or petal."""
    tones, side = pick(rng, SURFACES), int(1.45 * max(size))  # wide enough to be turned under the frame
    stretch = 1 if tones in PETALS else pick(rng, (1, 1, 6, 12))  # stretched noise reads as wood or grass
    coarse = noise(rng, (side, side), rng.uniform(3, 9), rng.uniform(3, 9) * stretch)
    fine = noise(rng, (side, side), side / rng.uniform(2, 12) / stretch, side / rng.uniform(2, 12))
    field = Image.blend(coarse, fine, rng.uniform(0.1, 0.6)).rotate(rng.uniform(0, 360))
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    field = field.crop((left, top, left + size[0], top + size[1]))
    return ImageOps.colorize(field, black=tones[0], mid=tones[1], white=tones[2])


def _blobs(rng: Rng, size: Size) -> Iterator[Shape]:
    """Pebbles, petals or out-of-focus things behind."""
    tones, scale = pick(rng, SURFACES), rng.uniform(0.02, 0.2) * max(size)
    for _ in range(rng.integers(6, 40)):
        x, y = rng.uniform(0, size)
        length, width = scale * rng.uniform(0.5, 1.5, 2)
        blob = egg(0, 0, length, width, tilt=rng.uniform(0, 3))
        colour, cover = pick(rng, tones), int(rng.integers(90, 255))
        yield blob + (x, y), (*tone(colour, 0.8), cover)
        yield blob * 0.86 + (x, y) - scale * 0.04, (*colour, cover)


def _veins(rng: Rng, size: Size) -> Iterator[Shape]:
    """Midrib and side veins of a leaf that fills the frame."""
    colour = (*pick(rng, (LEAF, MOSS, SAND))[2], int(rng.integers(90, 200)))
    heading, middle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.8, 2) * size, max(size)
    yield limb(middle + np.outer((-1.5, 1.5), unit(heading)) * reach, np.array([4, 2])), colour
    for step in np.arange(-1.4, 1.4, rng.uniform(0.12, 0.25)):
        root = middle + unit(heading) * reach * step
        for side in (-0.9, 0.9):
            yield limb(np.stack([root, root + unit(heading + side) * reach]), np.array([1.6, 0.6])), colour


def _flower(rng: Rng, size: Size) -> Iterator[Shape]:
    """Petals around a disc of florets set on the golden-angle spiral."""
    middle, length = rng.uniform(-0.1, 1.1, 2) * size, rng.uniform(0.5, 0.9) * max(size)
    count = rng.integers(7, 18)
    dark, plain, pale = pick(rng, PETALS)
    petals = ((1, mix(dark, plain, 0.6)), (0.9, plain), (0.5, mix(plain, pale, 0.6)))
    for angle in 2 * np.pi * np.arange(count) / count:
        centre = middle + unit(angle) * length * 0.62
        for shrink, colour in petals:
            yield egg(centre[0], centre[1], length * 0.5 * shrink, length * 2.4 / count * shrink, tilt=angle), colour
    tones, disc = pick(rng, (YELLOW, BARK, LEAF)), length * rng.uniform(0.25, 0.7)
    yield egg(middle[0], middle[1], disc, disc), tones[0]
    floret = egg(0, 0, disc * 0.06, disc * 0.06)
    for number in range(160):
        yield floret + middle + unit(2.39996 * number) * disc * np.sqrt(number / 160), pick(rng, tones[1:])


def stalks(rng: Rng, size: Size, most: int = 9) -> Iterator[Shape]:
    """Up to ``most`` twigs, stems and blades of grass that cross the frame."""
    for _ in range(rng.integers(1, most + 1)):
        dark, plain, pale = pick(rng, (LEAF, MOSS, BARK, BARK))
        run = np.outer(np.linspace(-1.3, 1.3, 5), unit(rng.uniform(0, np.pi))) * max(size)
        joints = rng.uniform(0, 1, 2) * size + run + rng.normal(0, 6, (5, 2))
        girth = rng.uniform(1, 0.035 * max(size))
        for share, colour in ((1, dark), (0.7, plain), (0.25, pale)):
            yield limb(joints, np.linspace(1, 0.4, 5) * girth * share), colour


def leaf(rng: Rng, beside: np.ndarray, gap: float, reach: float) -> Iterator[Shape]:
    """A leaf or petal whose edge passes the point ``beside``, (2,), at ``gap`` pixels, ``reach`` its half width."""
    dark, plain, pale = pick(rng, (LEAF, LEAF, MOSS, BARK, *PETALS))
    side = rng.uniform(0, 2 * np.pi)
    length, width = reach * rng.uniform(1.2, 2.2), reach
    x, y = beside + unit(side) * (gap + width)
    for shrink, colour in ((1, dark), (0.95, plain)):
        yield egg(x, y, length * shrink, width * shrink, taper=0.3, tilt=side + np.pi / 2), colour
    rib = np.outer(np.linspace(-1, 1, 3), unit(side + np.pi / 2)) * length + (x, y)
    yield limb(rib, np.array([0.02, 0.05, 0.02]) * width), pale


def ground(rng: Rng, size: Size) -> Image.Image:
    """What the insect stands on, in or out of focus."""
    scene = _surface(rng, size)
    scenery = pick(rng, (None, _blobs, _blobs, _veins, _flower, _flower, stalks))
    if scenery is not None:
        scene = paint(scene, scenery(rng, size))
    return scene.filter(ImageFilter.GaussianBlur(rng.uniform(0.6, 1.5) * pick(rng, (1, 1, 2, 5))))
