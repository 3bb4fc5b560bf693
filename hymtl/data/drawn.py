"""Procedural ants and bees: pictures for the days when the photos cannot be had.

Ants and bees share one distribution of grounds, of what hides them, of light and camera faults: see
:mod:`hymtl.data.drawing.insects` for what tells them apart. Both are drawn small or large, alone or in crowds, half
hidden, out of focus, so that comparing strategies on them is worth the time: a solved head alone does not
settle it.
"""

import pathlib
import shutil

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from hymtl.data.drawing.grounds import ground, leaf, noise, stalks
from hymtl.data.drawing.insects import insect
from hymtl.data.drawing.strokes import Rng, Shape, Size, paint, pick, unit
from hymtl.errors import HymtlError, did_you_mean
from hymtl.files import clear_leftovers, put_in_place, temporary

VERSION = 2  # raise it whenever a picture would change: callers put it in the folder name
KINDS = ("ants", "bees")
SPLITS = {"train": 0, "val": 500_000}  # where the picture numbers of each split start, so that none is shared
CROWDS = 0.25  # the share of pictures with several insects, all of one kind
HIDDEN = 0.12  # the share of insects behind a leaf, by half or so
SCALES = (0.5, 0.9)  # an insect's length in shorter sides of the picture, if it is alone: the small are as many as
CROWD_SCALES = (0.35, 0.55)  # the large, on a logarithmic scale
SUPERSAMPLE = 2  # insects are painted this much larger, then reduced: PIL does not antialias polygons


def _shadow(rng: Rng, ground: Image.Image, shapes: list[Shape]) -> Image.Image:
    """``ground`` under the soft shadow that ``shapes`` throw; membranes throw a thin one."""
    mask = Image.new("L", ground.size)
    pen = ImageDraw.Draw(mask)
    drop = unit(rng.uniform(0, 2 * np.pi)) * rng.uniform(0.01, 0.05) * min(ground.size)
    for points, colour in shapes:
        pen.polygon((points + drop).ravel().tolist(), fill=255 if len(colour) == 3 else colour[3] // 2)
    strength = rng.uniform(0.15, 0.6)
    mask = mask.filter(ImageFilter.GaussianBlur(rng.uniform(1, 5))).point(lambda depth: depth * strength)
    return Image.composite(Image.new("RGB", ground.size, (12, 12, 20)), ground, mask)


def _develop(rng: Rng, picture: Image.Image) -> Image.Image:
    """The camera's part: focus, dappled light, exposure, colour cast and sensor noise."""
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(*pick(rng, ((0, 1.2), (0, 1.2), (1.2, 2))))))
    picture = _shaken(rng, picture) if rng.random() < 0.1 else picture
    dapple = np.asarray(noise(rng, picture.size, 3, 3), dtype=np.float32)[..., None] / 255
    cast = (rng.uniform(0.75, 1.4) * rng.uniform(0.92, 1.08, 3)).astype(np.float32)
    gain = (1 - rng.uniform(0, 0.6) * dapple) * cast
    grain = rng.standard_normal((*gain.shape[:2], 1), dtype=np.float32) * rng.uniform(2, 9)
    return Image.fromarray(np.clip(np.asarray(picture) * gain + grain, 0, 255).astype(np.uint8))


def _shaken(rng: Rng, picture: Image.Image) -> Image.Image:
    """Blurred along one side of the frame, as by a hand that was not steady."""
    step = rng.uniform(3, 5)
    width, height = picture.size
    smaller = (round(width / step), height) if rng.random() < 0.5 else (width, round(height / step))
    return picture.resize(smaller, Image.Resampling.BOX).resize(picture.size, Image.Resampling.BILINEAR)


def _company(rng: Rng, kind: str, size: Size) -> tuple[list[Shape], list[Shape]]:
    """The polygons of one insect or a few of a kind, and of what hides some of them."""
    count = int(rng.integers(2, 6)) if rng.random() < CROWDS else 1
    insects: list[Shape] = []
    front: list[Shape] = []
    for _ in range(count):
        scale = np.exp(rng.uniform(*np.log(SCALES if count == 1 else CROWD_SCALES))) * min(size) / 2
        origin = np.array(size) * rng.uniform(0.2, 0.8, 2)
        insects += insect(rng, kind, scale, origin)
        if rng.random() < HIDDEN:
            front += leaf(rng, origin, scale * rng.uniform(0, 0.6), scale * rng.uniform(0.6, 1.6))
    if rng.random() < 0.4:
        front += stalks(rng, size, most=3)
    return insects, front


def _photograph(kind: str, seed: int, size: Size) -> Image.Image:
    rng = np.random.default_rng([VERSION, KINDS.index(kind), seed])
    insects, front = _company(rng, kind, size)
    picture = _shadow(rng, ground(rng, size), insects)
    return _develop(rng, paint(picture, insects + front, SUPERSAMPLE))


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
