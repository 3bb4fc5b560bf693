"""Procedural ants and bees: pictures for the days when the photos cannot be had.

An insect is a list of flat shapes in *body units*: x runs along the body axis towards the head, y across
it, and the body spans about -1 to 1. A pose bends, turns and scales those shapes into pixels. Ants and
bees share one distribution of grounds, body colours, light and camera faults, so that only their anatomy
(waist, wings, limbs, eyes) tells them apart.
"""

import pathlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from hymtl.errors import HymtlError, did_you_mean
from hymtl.files import clear_leftovers, put_in_place, temporary

VERSION = 1  # raise it whenever a picture would change: callers put it in the folder name
KINDS = ("ants", "bees")
SPLITS = {"train": 0, "val": 500_000}  # where the picture numbers of each split start, so that none is shared
SUPERSAMPLE = 2  # insects are painted this much larger, then reduced: PIL does not antialias polygons

Rng = np.random.Generator
Colour = tuple[int, ...]  # RGB or RGBA, 0-255
Shape = tuple[np.ndarray, Colour]  # polygon of shape (points, 2), and its fill
Size = tuple[int, int]  # width, height in pixels

# Colours of the cuticle, worn alike by both classes so that colour gives nothing away.
CUTICLES = ((30, 26, 26), (52, 36, 28), (70, 62, 52), (88, 46, 26), (124, 58, 30), (158, 92, 40), (196, 140, 62))
STRIPES = ((222, 172, 80), (204, 190, 150), (182, 118, 52))
HAIRS = ((190, 150, 90), (150, 120, 84), (96, 80, 66), (206, 176, 110))
MEMBRANES = ((226, 226, 216), (196, 184, 160), (150, 132, 110))
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


@dataclass(frozen=True)
class Dress:
    """Colours and light of one insect."""

    body: Colour
    stripe: Colour
    limb: Colour
    hair: Colour
    light: np.ndarray  # (2,): towards the light, in body units, length 1
    gloss: float  # 0 matt to 1 polished


# ---- strokes


def _pick(rng: Rng, choices: Sequence[Any]) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _tone(colour: Colour, factor: float) -> Colour:
    return tuple(max(0, min(255, int(channel * factor + 12 * (factor - 0.5)))) for channel in colour)


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    return tuple(round(a + (b - a) * share) for a, b in zip(first, second, strict=True))


def _unit(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)])


def _egg(x: float, y: float, length: float, width: float, taper: float = 0, tilt: float = 0) -> np.ndarray:
    """Outline, shape (28, 2), of an egg of half axes ``length`` and ``width``; ``taper`` slims its front."""
    turn = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    along, across = length * np.cos(turn), width * np.sin(turn) * (1 - taper * np.cos(turn))
    return np.outer(along, _unit(tilt)) + np.outer(across, _unit(tilt + np.pi / 2)) + (x, y)


def _limb(joints: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Outline of a tube through ``joints``, shape (n, 2), with half width ``widths``, shape (n,), at each."""
    tangent = np.gradient(joints, axis=0)
    normal = tangent[:, ::-1] * (-1, 1) / (np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9)
    return np.concatenate([joints + normal * widths[:, None], (joints - normal * widths[:, None])[::-1]])


def _tube(joints: np.ndarray, widths: np.ndarray, colour: Colour) -> Iterator[Shape]:
    """A round limb: a dark rim with a lighter core."""
    yield _limb(joints, widths), _tone(colour, 0.6)
    yield _limb(joints, widths * 0.45), _tone(colour, 1.25)


def _dome(outline: np.ndarray, colour: Colour, dress: Dress, stripes: Sequence[np.ndarray] = ()) -> Iterator[Shape]:
    """A bulging body part: its outline shrinks towards the light and brightens on the way."""
    middle, reach = outline.mean(axis=0), np.ptp(outline[:, 1])
    for rise in np.linspace(0, 1, 8):
        lift, shrink, lit = dress.light * reach * 0.14 * rise, 1 - 0.75 * rise, 0.55 + 0.6 * rise
        yield middle + lift + (outline - middle) * shrink, _tone(colour, lit)
        for stripe in stripes:  # a stripe keeps its place along the body, shrinks across and bows back
            narrow = stripe * (1, shrink)
            bow = 0.16 * (reach / 4 - narrow[:, 1] ** 2 / reach)
            yield np.stack([narrow[:, 0] - bow, narrow[:, 1] + lift[1]], axis=1), _tone(dress.stripe, lit)
    yield middle + lift * 1.4 + (outline - middle) * 0.13, (255, 250, 240, int(150 * dress.gloss))


def _fur(rng: Rng, outline: np.ndarray, length: float, count: int, dress: Dress) -> Iterator[Shape]:
    """``count`` hairs that stand out all over a body part, the outermost lowest as on a dome."""
    middle = outline.mean(axis=0)
    out = outline[rng.integers(len(outline), size=count)] - middle
    depth = np.sort(rng.uniform(0.1, 1, (count, 1)), axis=0)[::-1]
    root, away = middle + out * depth, out / np.linalg.norm(out, axis=1, keepdims=True)
    tip = root + (away + rng.normal(0, 0.4, (count, 2))) * length * rng.uniform(0.5, 1.2, (count, 1))
    side = away[:, ::-1] * (-0.018, 0.018)
    lit = 0.85 + 0.4 * (away @ dress.light) * depth[:, 0] + rng.normal(0, 0.12, count)
    for hair, tone in zip(np.stack([root + side, tip, root - side], axis=1), lit, strict=True):
        yield hair, (*_tone(dress.hair, tone), 210)


# ---- anatomy


def _legs(rng: Rng, hips: Sequence[float], waist: float, reach: float, girth: float, dress: Dress) -> Iterator[Shape]:
    """Three pairs of femur, tibia and tarsus; ``hips`` lie on the axis, ``waist`` beside it."""
    for hip, heading, swing in zip(hips, (0.95, 1.7, 2.3), (-0.6, 0.45, 0.5), strict=True):
        for side in (-1, 1):
            span = reach * rng.uniform(0.85, 1.15) * (1.2 if heading > 2 else 1.0)
            femur = heading - 0.5 * swing + rng.normal(0, 0.17)
            tibia = femur + swing * rng.uniform(0.9, 1.9)
            tarsus = tibia + swing * rng.uniform(-0.2, 0.8)
            thigh = 0.21 * span * _unit(femur)  # in two halves, so that it can be thickest in the middle
            steps = [(hip, waist), thigh, thigh, 0.36 * span * _unit(tibia), 0.26 * span * _unit(tarsus)]
            joints = np.cumsum(np.array(steps), axis=0) * (1, side)
            yield from _tube(joints, np.array([0.7, 1.1, 0.75, 0.6, 0.3]) * girth, dress.limb)


def _antennae(rng: Rng, root: tuple[float, float], scape: float, lash: float, dress: Dress) -> Iterator[Shape]:
    """A pair of elbowed antennae: a stiff scape outwards, then a lash that curls forwards."""
    for side in (-1, 1):
        out = rng.uniform(0.6, 1.25)
        curl = out - rng.uniform(0.6, 1.0) + np.linspace(0, rng.uniform(-0.5, 0.3), 5)
        steps = [np.array(root), scape * _unit(out), *(lash / 5 * _unit(angle) for angle in curl)]
        joints = np.cumsum(steps, axis=0) * (1, side)
        yield from _tube(joints, np.array([1, 0.9, 0.8, 0.8, 0.9, 1.1, 0.9]) * 0.022, dress.limb)


def _mandibles(reach: float, dress: Dress) -> Iterator[Shape]:
    for side in (-1, 1):
        jaw = np.array([[0.88, 0.13], [0.92 + reach, 0.1], [0.95 + reach, 0.02], [0.88, 0.03]])
        yield jaw * (1, side), _tone(dress.limb, 0.9)


def _eyes(x: float, y: float, length: float, width: float) -> Iterator[Shape]:
    for side in (-1, 1):
        yield _egg(x, side * y, length, width, tilt=-0.25 * side), (34, 26, 24)
        yield _egg(x, side * y, length * 0.4, width * 0.4), (120, 104, 90, 160)


def _hind_body(
    x: float, length: float, width: float, fronts: np.ndarray, breadth: float, dress: Dress
) -> Iterator[Shape]:
    """Gaster or abdomen with stripes ``breadth`` long that start at ``fronts`` (-1 tail to 1 waist)."""
    stripes = []
    for front in fronts:
        arc = np.linspace(np.arccos(front), np.arccos(front - breadth), 4)
        rim = np.stack([np.cos(arc) * length, np.sin(arc) * width], axis=1)
        inner = np.linspace(0.7, -0.7, 4)[:, None] * (0, 1) + (1, 0)  # keeps x, crosses the axis in y
        stripe = [rim, rim[-1] * inner, rim[::-1] * (1, -1), rim[0] * inner[::-1]]
        stripes.append(np.concatenate(stripe) + (x, 0))
    yield from _dome(_egg(x, 0, length, width), dress.body, dress, stripes)


def _wing(root: np.ndarray, sweep: float, length: float, width: float, tint: Colour) -> Iterator[Shape]:
    """A membrane (``tint`` is RGBA) and its veins, turned by ``sweep``, not 0, from the forward axis."""
    along = (1 - np.cos(np.linspace(0, np.pi, 14))) / 2  # closer points at root and tip, where it curves
    bulge = np.sin(np.pi * along**1.5) ** 0.6
    axes = np.stack([_unit(sweep), _unit(sweep - np.sign(sweep) * np.pi / 2)])  # tip, leading edge

    def place(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return root + np.stack([u * length, v * width], axis=1) @ axes

    yield np.concatenate([place(along, 0.35 * bulge), place(along, -0.65 * bulge)[::-1]]), tint
    yield place(along * 0.95, -0.6 * bulge * (along < 0.99)), (255, 255, 255, 45)  # sheen
    vein, thin = (*_tone(tint[:3], 0.3), min(255, tint[3] + 60)), np.full(14, 0.007)
    yield _limb(place(along, 0.35 * bulge), thin * 1.8), vein
    for lane, stop in ((0.12, 0.95), (-0.15, 0.9), (-0.4, 0.75)):
        yield _limb(place(along * stop, lane * bulge), thin), vein
    for at, top, low in ((0.45, 0.33, -0.15), (0.6, 0.12, -0.42), (0.72, 0.3, -0.12)):
        yield _limb(place(np.array([at, at + 0.04]), np.array([top, low])), thin[:2]), vein


def _wings(rng: Rng, stout: float) -> Iterator[Shape]:
    """Two pairs, hind under fore, anywhere from held out sideways to folded over the back."""
    tint = (*_pick(rng, MEMBRANES), int(rng.integers(60, 130)))
    spread = rng.uniform(1.7, 2.95)
    for side in (-1, 1):
        sweep = side * np.clip(spread + rng.normal(0, 0.12), 1.5, 3.0)
        root = np.array([0.4, side * 0.19 * stout])
        yield from _wing(root - (0.14, 0), sweep + side * rng.uniform(0.1, 0.35), 0.8, 0.33, tint)
        yield from _wing(root, sweep, rng.uniform(1.1, 1.3), 0.4, tint)


def _ant(rng: Rng, dress: Dress) -> Iterator[Shape]:
    """Head, long mesosoma, petiole and gaster, from above."""
    stout = rng.uniform(0.85, 1.3)
    head, length = rng.uniform(0.17, 0.24) * stout, rng.uniform(0.34, 0.45)
    yield from _legs(rng, (0.4, 0.27, 0.14), 0.07, rng.uniform(0.95, 1.3), 0.032 * stout, dress)
    yield from _antennae(rng, (0.86, 0.09), rng.uniform(0.34, 0.46), rng.uniform(0.42, 0.6), dress)
    yield from _mandibles(rng.uniform(0.04, 0.16), dress)
    yield from _dome(_egg(-0.07, 0, 0.1, 0.05), dress.body, dress)
    gaster = rng.uniform(0.22, 0.31) * stout
    yield from _hind_body(-0.14 - length, length, gaster, np.array([0.62, 0.14, -0.36]), 0.13, dress)
    yield from _dome(_egg(-0.1, 0, 0.055, 0.08), dress.body, dress)  # the petiole's node
    yield from _dome(_egg(0.22, 0, 0.3, 0.12 * stout, taper=-0.25), dress.body, dress)
    yield from _dome(_egg(0.4, 0, 0.14, 0.145 * stout), dress.body, dress)
    yield from _dome(_egg(0.7, 0, 0.23, head, taper=0.18), dress.body, dress)
    yield from _eyes(0.74, head * 0.82, 0.055, 0.03)


def _bee(rng: Rng, dress: Dress) -> Iterator[Shape]:
    """Head, hairy thorax, broadly joined striped abdomen and two pairs of wings, from above."""
    stout, count = rng.uniform(0.75, 1.25), rng.integers(3, 6)
    thorax, width = _egg(0.34, 0, 0.29, 0.28 * stout), rng.uniform(0.32, 0.38) * stout
    yield from _legs(rng, (0.52, 0.34, 0.16), 0.14 * stout, rng.uniform(0.62, 0.85), 0.05, dress)
    yield from _antennae(rng, (0.84, 0.07), 0.14, rng.uniform(0.18, 0.26), dress)
    fronts, breadth = np.linspace(0.72, -0.62, count), rng.uniform(0.35, 0.65) * 1.34 / count
    yield from _hind_body(-0.4, rng.uniform(0.47, 0.57), width, fronts, min(breadth, 0.36), dress)
    yield from _dome(_egg(0.7, 0, 0.16, 0.24 * stout), dress.body, dress)
    yield from _eyes(0.72, 0.17 * stout, 0.12, 0.075)
    yield from _dome(thorax, _mix(dress.body, dress.hair, 0.5), dress)
    yield from _fur(rng, thorax, 0.1, 130, dress)
    yield from _fur(rng, _egg(0.05, 0, 0.1, width * 0.8), 0.08, 30, dress)  # hides the waist
    yield from _fur(rng, _egg(0.66, 0, 0.1, 0.12), 0.07, 20, dress)
    yield from _wings(rng, stout)


def _dress(rng: Rng, heading: float, contrast: float) -> Dress:
    """Clothes for an insect whose stripes stand out by ``contrast``, 0 to 1."""
    body = _pick(rng, CUTICLES)
    stripe = (36, 28, 26) if sum(body) > 300 else _pick(rng, STRIPES)  # must stand out from the body
    limb, hair = _mix(body, _pick(rng, CUTICLES), 0.4), _mix(body, _pick(rng, HAIRS), rng.uniform(0.4, 0.9))
    light = _unit(rng.uniform(0, 2 * np.pi) - heading)
    return Dress(body, _mix(body, stripe, contrast), limb, hair, light, rng.uniform(0, 1))


def _pose(rng: Rng, size: Size, heading: float) -> Callable[[np.ndarray], np.ndarray]:
    """How the insect lies in the frame: maps points, shape (n, 2), from body units to pixels."""
    bend = rng.normal(0, 0.3) or 0.1  # radians turned per body unit along the axis; never 0, it divides
    view = _unit(rng.uniform(0, np.pi))  # seen a little from one side: shorter along that direction
    squeeze = np.eye(2) - (1 - rng.uniform(0.6, 1)) * np.outer(view, view)
    turn = np.stack([_unit(heading), _unit(heading + np.pi / 2)], axis=1)
    matrix = rng.uniform(0.38, 0.88) * min(size) / 2.2 * squeeze @ turn
    origin = np.array(size) * rng.uniform(0.36, 0.64, 2)

    def place(points: np.ndarray) -> np.ndarray:
        # Walking along x follows a circular arc; y stays square to it.
        sin, cos = np.sin(bend * points[:, 0]), np.cos(bend * points[:, 0])
        bent = np.stack([sin / bend - points[:, 1] * sin, (1 - cos) / bend + points[:, 1] * cos])
        return (matrix @ bent).T + origin

    return place


def _insect(rng: Rng, kind: str, size: Size) -> list[Shape]:
    """The polygons, in pixels, of one posed insect."""
    heading = rng.uniform(0, 2 * np.pi)
    pose = _pose(rng, size, heading)
    if kind == "ants":
        shapes = list(_ant(rng, _dress(rng, heading, rng.uniform(0, 0.4))))
    else:
        shapes = list(_bee(rng, _dress(rng, heading, rng.uniform(0.1, 0.9))))
    ends = np.cumsum([len(points) for points, _ in shapes])
    posed = np.split(pose(np.concatenate([points for points, _ in shapes])), ends[:-1])
    return [(points, colour) for points, (_, colour) in zip(posed, shapes, strict=True)]


# ---- ground: shapes here are in pixels


def _noise(rng: Rng, size: Size, columns: float, rows: float) -> Image.Image:
    """Smooth grey noise with about ``columns`` by ``rows`` bumps; mode L."""
    cells = rng.integers(0, 256, (max(2, round(rows)), max(2, round(columns))), dtype=np.uint8)
    return Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC)


def _surface(rng: Rng, size: Size) -> Image.Image:
    """One material, coarse and fine grained: leaf, sand, wood, concrete or petal."""
    tones, side = _pick(rng, SURFACES), int(1.45 * max(size))  # wide enough to be turned under the frame
    stretch = 1 if tones in PETALS else _pick(rng, (1, 1, 6, 12))  # stretched noise reads as wood or grass
    coarse = _noise(rng, (side, side), rng.uniform(3, 9), rng.uniform(3, 9) * stretch)
    fine = _noise(rng, (side, side), side / rng.uniform(2, 12) / stretch, side / rng.uniform(2, 12))
    field = Image.blend(coarse, fine, rng.uniform(0.1, 0.6)).rotate(rng.uniform(0, 360))
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    field = field.crop((left, top, left + size[0], top + size[1]))
    return ImageOps.colorize(field, black=tones[0], mid=tones[1], white=tones[2])


def _blobs(rng: Rng, size: Size) -> Iterator[Shape]:
    """Pebbles, petals or out-of-focus things behind."""
    tones, scale = _pick(rng, SURFACES), rng.uniform(0.02, 0.2) * max(size)
    for _ in range(rng.integers(6, 40)):
        x, y = rng.uniform(0, size)
        length, width = scale * rng.uniform(0.5, 1.5, 2)
        blob = _egg(0, 0, length, width, tilt=rng.uniform(0, 3))
        tone, cover = _pick(rng, tones), int(rng.integers(90, 255))
        yield blob + (x, y), (*_tone(tone, 0.8), cover)
        yield blob * 0.86 + (x, y) - scale * 0.04, (*tone, cover)


def _veins(rng: Rng, size: Size) -> Iterator[Shape]:
    """Midrib and side veins of a leaf that fills the frame."""
    colour = (*_pick(rng, (LEAF, MOSS, SAND))[2], int(rng.integers(90, 200)))
    heading, middle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.8, 2) * size, max(size)
    yield _limb(middle + np.outer((-1.5, 1.5), _unit(heading)) * reach, np.array([4, 2])), colour
    for step in np.arange(-1.4, 1.4, rng.uniform(0.12, 0.25)):
        root = middle + _unit(heading) * reach * step
        for side in (-0.9, 0.9):
            yield _limb(np.stack([root, root + _unit(heading + side) * reach]), np.array([1.6, 0.6])), colour


def _flower(rng: Rng, size: Size) -> Iterator[Shape]:
    """Petals around a disc of florets set on the golden-angle spiral."""
    middle, length = rng.uniform(-0.1, 1.1, 2) * size, rng.uniform(0.5, 0.9) * max(size)
    count = rng.integers(7, 18)
    dark, plain, pale = _pick(rng, PETALS)
    petals = ((1, _mix(dark, plain, 0.6)), (0.9, plain), (0.5, _mix(plain, pale, 0.6)))
    for angle in 2 * np.pi * np.arange(count) / count:
        centre = middle + _unit(angle) * length * 0.62
        for shrink, tone in petals:
            yield _egg(centre[0], centre[1], length * 0.5 * shrink, length * 2.4 / count * shrink, tilt=angle), tone
    tones, disc = _pick(rng, (YELLOW, BARK, LEAF)), length * rng.uniform(0.25, 0.7)
    yield _egg(middle[0], middle[1], disc, disc), tones[0]
    floret = _egg(0, 0, disc * 0.06, disc * 0.06)
    for number in range(160):
        yield floret + middle + _unit(2.39996 * number) * disc * np.sqrt(number / 160), _pick(rng, tones[1:])


def _stalks(rng: Rng, size: Size, most: int = 9) -> Iterator[Shape]:
    """Up to ``most`` twigs, stems and blades of grass that cross the frame."""
    for _ in range(rng.integers(1, most + 1)):
        dark, plain, pale = _pick(rng, (LEAF, MOSS, BARK, BARK))
        run = np.outer(np.linspace(-1.3, 1.3, 5), _unit(rng.uniform(0, np.pi))) * max(size)
        joints = rng.uniform(0, 1, 2) * size + run + rng.normal(0, 6, (5, 2))
        girth = rng.uniform(1, 0.035 * max(size))
        for share, tone in ((1, dark), (0.7, plain), (0.25, pale)):
            yield _limb(joints, np.linspace(1, 0.4, 5) * girth * share), tone


def _ground(rng: Rng, size: Size) -> Image.Image:
    """What the insect stands on, in or out of focus."""
    ground = _surface(rng, size)
    scenery = _pick(rng, (None, _blobs, _blobs, _veins, _flower, _flower, _stalks))
    if scenery is not None:
        ground = _paint(ground, scenery(rng, size))
    return ground.filter(ImageFilter.GaussianBlur(rng.uniform(0.6, 1.5) * _pick(rng, (1, 1, 2, 5))))


# ---- photograph


def _paint(picture: Image.Image, shapes: Iterable[Shape], scale: int = 1) -> Image.Image:
    """``picture`` with ``shapes``, in its pixels, painted over it; edges are smoothed by ``scale``."""
    large = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(large, "RGBA")
    for points, colour in shapes:
        pen.polygon((points * scale).ravel().tolist(), fill=colour)
    return large.reduce(scale)


def _shadow(rng: Rng, ground: Image.Image, shapes: list[Shape]) -> Image.Image:
    """``ground`` under the soft shadow that ``shapes`` throw; membranes throw a thin one."""
    mask = Image.new("L", ground.size)
    pen = ImageDraw.Draw(mask)
    drop = _unit(rng.uniform(0, 2 * np.pi)) * rng.uniform(0.01, 0.05) * min(ground.size)
    for points, colour in shapes:
        pen.polygon((points + drop).ravel().tolist(), fill=255 if len(colour) == 3 else colour[3] // 2)
    strength = rng.uniform(0.15, 0.6)
    mask = mask.filter(ImageFilter.GaussianBlur(rng.uniform(1, 5))).point(lambda depth: depth * strength)
    return Image.composite(Image.new("RGB", ground.size, (12, 12, 20)), ground, mask)


def _develop(rng: Rng, picture: Image.Image) -> Image.Image:
    """The camera's part: focus, dappled light, exposure, colour cast and sensor noise."""
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.5)))
    dapple = np.asarray(_noise(rng, picture.size, 3, 3), dtype=np.float32)[..., None] / 255
    cast = (rng.uniform(0.75, 1.4) * rng.uniform(0.92, 1.08, 3)).astype(np.float32)
    gain = (1 - rng.uniform(0, 0.6) * dapple) * cast
    noise = rng.standard_normal((*gain.shape[:2], 1), dtype=np.float32) * rng.uniform(2, 9)
    return Image.fromarray(np.clip(np.asarray(picture) * gain + noise, 0, 255).astype(np.uint8))


def _photograph(kind: str, seed: int, size: Size) -> Image.Image:
    rng = np.random.default_rng([VERSION, KINDS.index(kind), seed])
    insect = _insect(rng, kind, size)
    picture = _shadow(rng, _ground(rng, size), insect)
    if rng.random() < 0.3:
        insect.extend(_stalks(rng, size, most=2))  # something grows in front of it
    return _develop(rng, _paint(picture, insect, SUPERSAMPLE))


def draw(kind: str, seed: int, size: int = 256) -> Image.Image:
    """One insect, ``size`` by ``size`` pixels, RGB; always the same picture for the same arguments.

    ``kind`` is "ants" or "bees" (``HymtlError`` for another), ``seed`` is 0 or more (``ValueError`` below).
    """
    if kind not in KINDS:
        raise HymtlError(f"No drawn insect is called '{kind}'. {did_you_mean(kind, KINDS)}")
    return _photograph(kind, seed, (size, size))


# ---- folder


def _complete(root: pathlib.Path, counts: dict[tuple[str, str], int]) -> bool:
    return root.is_dir() and all(
        len(list(root.joinpath(*place).glob("*.jpg"))) == count for place, count in counts.items()
    )


def _fill(folder: pathlib.Path, counts: dict[tuple[str, str], int], seed: int) -> None:
    for (split, kind), count in counts.items():
        (folder / split / kind).mkdir(parents=True)
        for number in range(count):
            picture_seed = seed * 1_000_000 + SPLITS[split] + number
            # Sides vary as those of photos do, but not with the class: both kinds get the same ones.
            width, height = np.random.default_rng(picture_seed).integers(240, 321, 2).tolist()
            picture = _photograph(kind, picture_seed, (width, height))
            picture.save(folder / split / kind / f"{number:04d}.jpg", quality=90)


def write(root: pathlib.Path, train: int = 244, val: int = 153, seed: int = 0) -> pathlib.Path:
    """Draw ``root``/{train,val}/{ants,bees}/*.jpg unless they are there, and return ``root``.

    ``train`` and ``val`` count the pictures of both classes, balanced (ants get an odd one); sides are 240
    to 320 pixels. The folder appears whole or not at all, whoever else draws it at the same time. Only the
    counts are checked, so let its name tell ``VERSION`` and ``seed``. Raises ``HymtlError`` when ``root``
    holds anything else, ``ValueError`` when ``seed`` is below 0, ``OSError`` when it cannot be written.
    """
    root, totals = pathlib.Path(root), {"train": train, "val": val}
    counts = {(split, kind): (totals[split] + (kind == "ants")) // 2 for split in SPLITS for kind in KINDS}
    # Looked at first: a set that another process puts there from now on is whole.
    occupied = root.exists() and (not root.is_dir() or any(root.iterdir()))
    if _complete(root, counts):
        return root
    if occupied:
        raise HymtlError(
            f"'{root}' is not a whole set of {train} + {val} drawn pictures. "
            "Delete it to have it drawn anew, or name another folder."
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(root.parent)
    sketch = temporary(root)
    try:
        _fill(sketch, counts, seed)
        put_in_place(sketch, root)
    except OSError:
        if not _complete(root, counts):  # otherwise another process was first, with the same pictures
            raise
    finally:
        shutil.rmtree(sketch, ignore_errors=True)
    return root
