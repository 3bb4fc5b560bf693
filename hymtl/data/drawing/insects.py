"""Ants and bees, from above: polygons in pixels.

An insect is a list of flat shapes in *body units*: x runs along the body axis towards the head, y across
it, and the body spans about -1 to 1. A pose bends, turns and scales those shapes into pixels. Ants and
bees share one distribution of body colours, wings, light and poses, so that only their anatomy (waist, limbs, hair,
eyes) tells them apart.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hymtl.data.drawing.strokes import Colour, Rng, Shape, egg, limb, mix, pick, tone, tube, unit

# Colours of the cuticle, worn alike by both classes so that colour gives nothing away.
CUTICLES = ((30, 26, 26), (52, 36, 28), (70, 62, 52), (88, 46, 26), (124, 58, 30), (158, 92, 40), (196, 140, 62))
STRIPES = ((222, 172, 80), (204, 190, 150), (182, 118, 52))
HAIRS = ((190, 150, 90), (150, 120, 84), (96, 80, 66), (206, 176, 110))
MEMBRANES = ((226, 226, 216), (196, 184, 160), (150, 132, 110))
WINGED_ANTS = 0.5  # the share of ants that have wings, as queens and males do for a day
DARK_BEES = 0.5  # the share of bees whose stripes hardly show


@dataclass(frozen=True)
class Dress:
    """Colours and light of one insect."""

    body: Colour
    stripe: Colour
    limb: Colour
    hair: Colour
    light: np.ndarray  # (2,): towards the light, in body units, length 1
    gloss: float  # 0 matt to 1 polished


def _dome(outline: np.ndarray, colour: Colour, dress: Dress, stripes: Sequence[np.ndarray] = ()) -> Iterator[Shape]:
    """A bulging body part: its outline shrinks towards the light and brightens on the way."""
    middle, reach = outline.mean(axis=0), np.ptp(outline[:, 1])
    for rise in np.linspace(0, 1, 8):
        lift, shrink, lit = dress.light * reach * 0.14 * rise, 1 - 0.75 * rise, 0.55 + 0.6 * rise
        yield middle + lift + (outline - middle) * shrink, tone(colour, lit)
        for stripe in stripes:  # a stripe keeps its place along the body, shrinks across and bows back
            narrow = stripe * (1, shrink)
            bow = 0.16 * (reach / 4 - narrow[:, 1] ** 2 / reach)
            yield np.stack([narrow[:, 0] - bow, narrow[:, 1] + lift[1]], axis=1), tone(dress.stripe, lit)
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
    for hair, bright in zip(np.stack([root + side, tip, root - side], axis=1), lit, strict=True):
        yield hair, (*tone(dress.hair, bright), 210)


def _legs(rng: Rng, hips: Sequence[float], waist: float, reach: float, girth: float, dress: Dress) -> Iterator[Shape]:
    """Three pairs of femur, tibia and tarsus; ``hips`` lie on the axis, ``waist`` beside it."""
    for hip, heading, swing in zip(hips, (0.95, 1.7, 2.3), (-0.6, 0.45, 0.5), strict=True):
        for side in (-1, 1):
            span = reach * rng.uniform(0.85, 1.15) * (1.2 if heading > 2 else 1.0)
            femur = heading - 0.5 * swing + rng.normal(0, 0.17)
            tibia = femur + swing * rng.uniform(0.9, 1.9)
            tarsus = tibia + swing * rng.uniform(-0.2, 0.8)
            thigh = 0.21 * span * unit(femur)  # in two halves, so that it can be thickest in the middle
            steps = [(hip, waist), thigh, thigh, 0.36 * span * unit(tibia), 0.26 * span * unit(tarsus)]
            joints = np.cumsum(np.array(steps), axis=0) * (1, side)
            yield from tube(joints, np.array([0.7, 1.1, 0.75, 0.6, 0.3]) * girth, dress.limb)


def _antennae(rng: Rng, root: tuple[float, float], scape: float, lash: float, dress: Dress) -> Iterator[Shape]:
    """A pair of elbowed antennae: a stiff scape outwards, then a lash that curls forwards."""
    for side in (-1, 1):
        out = rng.uniform(0.6, 1.25)
        curl = out - rng.uniform(0.6, 1.0) + np.linspace(0, rng.uniform(-0.5, 0.3), 5)
        steps = [np.array(root), scape * unit(out), *(lash / 5 * unit(angle) for angle in curl)]
        joints = np.cumsum(steps, axis=0) * (1, side)
        yield from tube(joints, np.array([1, 0.9, 0.8, 0.8, 0.9, 1.1, 0.9]) * 0.022, dress.limb)


def _mandibles(reach: float, dress: Dress) -> Iterator[Shape]:
    for side in (-1, 1):
        jaw = np.array([[0.88, 0.13], [0.92 + reach, 0.1], [0.95 + reach, 0.02], [0.88, 0.03]])
        yield jaw * (1, side), tone(dress.limb, 0.9)


def _eyes(x: float, y: float, length: float, width: float) -> Iterator[Shape]:
    for side in (-1, 1):
        yield egg(x, side * y, length, width, tilt=-0.25 * side), (34, 26, 24)
        yield egg(x, side * y, length * 0.4, width * 0.4), (120, 104, 90, 160)


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
    yield from _dome(egg(x, 0, length, width), dress.body, dress, stripes)


def _wing(root: np.ndarray, sweep: float, length: float, width: float, tint: Colour) -> Iterator[Shape]:
    """A membrane (``tint`` is RGBA) and its veins, turned by ``sweep``, not 0, from the forward axis."""
    along = (1 - np.cos(np.linspace(0, np.pi, 14))) / 2  # closer points at root and tip, where it curves
    bulge = np.sin(np.pi * along**1.5) ** 0.6
    axes = np.stack([unit(sweep), unit(sweep - np.sign(sweep) * np.pi / 2)])  # tip, leading edge

    def place(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return root + np.stack([u * length, v * width], axis=1) @ axes

    yield np.concatenate([place(along, 0.35 * bulge), place(along, -0.65 * bulge)[::-1]]), tint
    yield place(along * 0.95, -0.6 * bulge * (along < 0.99)), (255, 255, 255, 45)  # sheen
    vein, thin = (*tone(tint[:3], 0.3), min(255, tint[3] + 60)), np.full(14, 0.007)
    yield limb(place(along, 0.35 * bulge), thin * 1.8), vein
    for lane, stop in ((0.12, 0.95), (-0.15, 0.9), (-0.4, 0.75)):
        yield limb(place(along * stop, lane * bulge), thin), vein
    for at, top, low in ((0.45, 0.33, -0.15), (0.6, 0.12, -0.42), (0.72, 0.3, -0.12)):
        yield limb(place(np.array([at, at + 0.04]), np.array([top, low])), thin[:2]), vein


def _wings(rng: Rng, stout: float) -> Iterator[Shape]:
    """Two pairs, hind under fore, anywhere from held out sideways to folded over the back."""
    tint = (*pick(rng, MEMBRANES), int(rng.integers(60, 130)))
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
    yield from _dome(egg(-0.07, 0, 0.1, 0.05), dress.body, dress)
    gaster = rng.uniform(0.22, 0.31) * stout
    yield from _hind_body(-0.14 - length, length, gaster, np.array([0.62, 0.14, -0.36]), 0.13, dress)
    yield from _dome(egg(-0.1, 0, 0.055, 0.08), dress.body, dress)  # the petiole's node
    yield from _dome(egg(0.22, 0, 0.3, 0.12 * stout, taper=-0.25), dress.body, dress)
    yield from _dome(egg(0.4, 0, 0.14, 0.145 * stout), dress.body, dress)
    yield from _dome(egg(0.7, 0, 0.23, head, taper=0.18), dress.body, dress)
    yield from _eyes(0.74, head * 0.82, 0.055, 0.03)
    if rng.random() < WINGED_ANTS:
        yield from _wings(rng, 0.6 * stout)


def _bee(rng: Rng, dress: Dress) -> Iterator[Shape]:
    """Head, hairy thorax, broadly joined striped abdomen and two pairs of wings, from above."""
    stout, count = rng.uniform(0.7, 1.25), rng.integers(3, 6)
    thorax, width = egg(0.34, 0, 0.29, 0.28 * stout), rng.uniform(0.32, 0.38) * stout
    yield from _legs(rng, (0.52, 0.34, 0.16), 0.14 * stout, rng.uniform(0.62, 0.85), 0.05, dress)
    yield from _antennae(rng, (0.84, 0.07), 0.14, rng.uniform(0.18, 0.26), dress)
    fronts, breadth = np.linspace(0.72, -0.62, count), rng.uniform(0.35, 0.65) * 1.34 / count
    yield from _hind_body(-0.4, rng.uniform(0.47, 0.57), width, fronts, min(breadth, 0.36), dress)
    yield from _dome(egg(0.7, 0, 0.16, 0.24 * stout), dress.body, dress)
    yield from _eyes(0.72, 0.17 * stout, 0.12, 0.075)
    yield from _dome(thorax, mix(dress.body, dress.hair, 0.5), dress)
    shaggy = rng.uniform(0.2, 1)  # old bees wear their hair off
    yield from _fur(rng, thorax, 0.1, round(130 * shaggy), dress)
    yield from _fur(rng, egg(0.05, 0, 0.1, width * 0.8), 0.08, round(30 * shaggy), dress)  # hides the waist
    yield from _fur(rng, egg(0.66, 0, 0.1, 0.12), 0.07, round(20 * shaggy), dress)
    yield from _wings(rng, stout)


def _dress(rng: Rng, heading: float, contrast: float) -> Dress:
    """Clothes for an insect whose stripes stand out by ``contrast``, 0 to 1."""
    body = pick(rng, CUTICLES)
    stripe = (36, 28, 26) if sum(body) > 300 else pick(rng, STRIPES)  # must stand out from the body
    limbs, hair = mix(body, pick(rng, CUTICLES), 0.4), mix(body, pick(rng, HAIRS), rng.uniform(0.2, 0.9))
    light = unit(rng.uniform(0, 2 * np.pi) - heading)
    return Dress(body, mix(body, stripe, contrast), limbs, hair, light, rng.uniform(0, 1))


def _pose(rng: Rng, heading: float, scale: float, origin: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """How an insect lies in the frame: maps points, shape (n, 2), from body units of ``scale`` pixels to pixels."""
    bend = rng.normal(0, 0.4) or 0.1  # radians turned per body unit along the axis; never 0, it divides
    view = unit(rng.uniform(0, np.pi))  # seen a little from one side: shorter along that direction
    squeeze = np.eye(2) - (1 - rng.uniform(0.5, 1)) * np.outer(view, view)
    turn = np.stack([unit(heading), unit(heading + np.pi / 2)], axis=1)
    matrix = scale * squeeze @ turn

    def place(points: np.ndarray) -> np.ndarray:
        # Walking along x follows a circular arc; y stays square to it.
        sin, cos = np.sin(bend * points[:, 0]), np.cos(bend * points[:, 0])
        bent = np.stack([sin / bend - points[:, 1] * sin, (1 - cos) / bend + points[:, 1] * cos])
        return (matrix @ bent).T + origin

    return place


def insect(rng: Rng, kind: str, scale: float, origin: np.ndarray) -> list[Shape]:
    """The polygons, in pixels, of one posed insect around ``origin``, (2,), whose body is twice ``scale`` long."""
    heading = rng.uniform(0, 2 * np.pi)
    pose = _pose(rng, heading, scale, origin)
    if kind == "ants":
        shapes = list(_ant(rng, _dress(rng, heading, rng.uniform(0, 0.4))))
    else:
        contrast = rng.uniform(0, 0.15) if rng.random() < DARK_BEES else rng.uniform(0.1, 0.9)
        shapes = list(_bee(rng, _dress(rng, heading, contrast)))
    ends = np.cumsum([len(points) for points, _ in shapes])
    posed = np.split(pose(np.concatenate([points for points, _ in shapes])), ends[:-1])
    return [(points, colour) for points, (_, colour) in zip(posed, shapes, strict=True)]
