"""Pictures that are there twice: the same bytes, or nearly the same picture, scaled, recompressed or mirrored.

All are compared with all, which for many takes a while; of a folder that grew only the new ones are compared.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import imagehash
import numpy as np
from PIL import Image, ImageOps
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from hymtl.runtime import available_cores

SIDE = 16  # a perceptual hash has so many bits in each direction, low frequencies first
COARSE = 8  # of which so many sort out most pairs
# Bits by which two pictures of one photo may differ. Of 397 photos of insects, copies at JPEG quality 10 or of 64
# pixels differed by at most 28 of 256 bits and 5 of the coarse 64, different photos by at least 90 and 10.
NEAR, COARSE_NEAR = 40, 10
FLAT = 3.0  # grey levels of 255: a picture of less contrast has nothing to be recognized by
ALONE, UNKNOWN = 0, -1  # the number of a picture without copies, and of one that was not compared yet
_ROWS, _COLUMNS = 64, 4096  # pictures compared with one another at a time: as many as a core's cache holds
_SOON = 100  # times _ROWS pictures are compared so soon that nobody wants to see it coming
_MANY = 1_000_000  # pairs, after which those that say nothing new are forgotten


@dataclass(frozen=True)
class Cluster:
    """Names of pictures that are one: ``exact`` where all have the same bytes."""

    names: tuple[str, ...]
    exact: bool


def looks(picture: Image.Image) -> bytes | None:
    """Perceptual hashes, 32 bytes each, of a picture and of its mirror image; None where it has but one colour."""
    small = picture.convert("L").resize((4 * SIDE, 4 * SIDE), Image.Resampling.LANCZOS)
    if np.asarray(small).std() < FLAT:
        return None
    bits = [imagehash.phash(seen, SIDE).hash for seen in (small, ImageOps.mirror(small))]
    return np.packbits(bits).tobytes()


def numbered(
    counts: Mapping[str, int],
    hashes: Mapping[str, bytes],
    known: Mapping[str, int] | None = None,
    *,
    progress: bool = False,
) -> dict[str, int]:
    """A number for each content, the same for those that look alike; ALONE for what is there once.

    ``counts`` has how many files are of a content, ``hashes`` what :func:`looks` said of those that it knows,
    ``known`` the numbers of an earlier call. What that call compared is not compared again, unless one that looked like
    it is gone: others may have been alike through it.
    """
    known = known or {}
    again = {number for content, number in known.items() if number != ALONE and content not in counts} | {UNKNOWN}
    settled = [content for content in hashes if known.get(content, UNKNOWN) not in again]
    fresh = [content for content in hashes if known.get(content, UNKNOWN) in again]
    order = fresh + settled
    alike = _near([hashes[content] for content in order], len(fresh), progress=progress)
    before = _chains([known[content] for content in settled], len(fresh))
    labels = _labels(np.concatenate([alike, before], axis=1), len(order))
    order += [content for content in counts if content not in hashes]  # of one colour: alike where the bytes are
    labels = np.concatenate([labels, np.arange(len(labels), len(order))])
    sizes = np.bincount(labels, weights=[counts[content] for content in order]) if order else np.empty(0)
    numbers = np.where(sizes > 1, np.arange(len(sizes)) + 1, ALONE)[labels]
    return dict(zip(order, numbers.tolist(), strict=True))


def _chains(numbers: Sequence[int], first: int) -> np.ndarray:
    """Pairs of places, counted from ``first``, that connect all of one number."""
    places = sorted((number, place + first) for place, number in enumerate(numbers) if number != ALONE)
    pairs = [(one, other) for (number, one), (same, other) in pairwise(places) if number == same]
    return np.array(pairs, np.int64).reshape(-1, 2).T


def _near(hashes: Sequence[bytes], fresh: int, *, progress: bool) -> np.ndarray:
    """Enough pairs of places, int64 (2, some), to connect those that look alike, mirrored or not, with the first."""
    found = [np.empty((2, 0), np.int64)]
    packed = np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), 2, SIDE * SIDE // 8)
    coarse = _coarse(packed)
    starts = range(0, fresh, _ROWS)
    quiet = None if progress and len(starts) > _SOON else True
    with ThreadPoolExecutor(available_cores()) as pool:
        rows = pool.map(lambda start: _alike(packed, coarse, start, min(start + _ROWS, fresh)), starts)
        for pairs in tqdm(rows, "comparing pictures", len(starts), unit="", leave=False, disable=quiet):
            found.append(pairs)
            if sum(some.shape[1] for some in found) > _MANY:
                found = [_forest(found)]
    return _forest(found)


def _alike(packed: np.ndarray, coarse: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Those of the pictures from ``start`` to ``stop`` and all after them."""
    found = []
    different = np.empty((stop - start, _COLUMNS), np.uint64)
    for first in range(start, len(packed), _COLUMNS):
        columns = slice(first, min(first + _COLUMNS, len(packed)))
        for side in (0, 1):
            # An upright picture is as far from a mirrored one as the other way round, so half of the pairs are enough.
            bits = different[:, : columns.stop - first]
            np.bitwise_xor(coarse[start:stop, :1], coarse[None, columns, side], out=bits)
            one, other = np.divmod(np.flatnonzero(np.bitwise_count(bits) <= COARSE_NEAR), bits.shape[1])
            pairs = np.stack([one + start, other + first])
            pairs = pairs[:, pairs[0] < pairs[1]]
            apart = np.bitwise_count(packed[pairs[0], 0] ^ packed[pairs[1], side]).sum(axis=1, dtype=np.int64)
            found.append(pairs[:, apart <= NEAR])
    return _forest(found)


def _forest(found: Sequence[np.ndarray]) -> np.ndarray:
    """Of pairs those that connect the same: what a camera sees of a wall has as many as squares."""
    pairs = np.concatenate(found, axis=1)
    members, places = np.unique(pairs, return_inverse=True)
    labels = _labels(places.reshape(pairs.shape), len(members))
    roots = members[np.unique(labels, return_index=True)[1]][labels]
    return np.stack([roots, members])[:, roots != members]


def _labels(pairs: np.ndarray, count: int) -> np.ndarray:
    """Of ``count`` pictures, int (count), which of those that pairs connect each one belongs to."""
    graph = coo_array((np.ones(pairs.shape[1], bool), tuple(pairs)), shape=(count, count))
    return connected_components(graph, directed=False)[1] if count else np.empty(0, np.int64)


def _coarse(packed: np.ndarray) -> np.ndarray:
    """The low frequencies alone: uint64 (N, 2) of uint8 (N, 2, SIDE * SIDE / 8)."""
    rows = packed.reshape(*packed.shape[:2], SIDE, SIDE // 8)[:, :, :COARSE, : COARSE // 8]
    return np.ascontiguousarray(rows).reshape(*packed.shape[:2], COARSE).view(np.uint64)[..., 0]
