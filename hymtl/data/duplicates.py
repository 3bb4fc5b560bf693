"""Pictures that are there twice: the same bytes, or nearly the same picture, scaled, recompressed or mirrored."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image, ImageOps
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIDE = 16  # a perceptual hash has so many bits in each direction, low frequencies first
COARSE = 8  # of which so many sort out most pairs
# Bits by which two pictures of one photo may differ. Of 397 photos of insects, copies at JPEG quality 10 or of 64
# pixels differed by at most 28 of 256 bits and 5 of the coarse 64, different photos by at least 90 and 10.
NEAR, COARSE_NEAR = 40, 10
FLAT = 3.0  # grey levels of 255: a picture of less contrast has nothing to be recognized by
_ROWS = 256  # pictures compared with all others at a time


@dataclass(frozen=True)
class Cluster:
    """Names of pictures that are one: ``exact`` where all have the same bytes."""

    names: tuple[str, ...]
    exact: bool


def looks(picture: Image.Image) -> tuple[str, str] | None:
    """Perceptual hashes, in hex, of a picture and of its mirror image; None where it has nothing but one colour."""
    small = picture.convert("L").resize((4 * SIDE, 4 * SIDE), Image.Resampling.LANCZOS)
    if np.asarray(small).std() < FLAT:
        return None
    return str(imagehash.phash(small, SIDE)), str(imagehash.phash(ImageOps.mirror(small), SIDE))


def clusters(contents: Mapping[str, str], hashes: Mapping[str, tuple[str, str]]) -> list[Cluster]:
    """All pictures that are there more than once, by name.

    ``contents`` has a digest of each one's bytes, ``hashes`` what :func:`looks` said of those that it knows.
    """
    by_content = defaultdict(list)
    for name in sorted(contents):
        by_content[contents[name]].append(name)
    known = [names for names in by_content.values() if names[0] in hashes]
    found = [Cluster(tuple(names), True) for names in by_content.values() if names[0] not in hashes and len(names) > 1]
    if known:
        pairs = np.concatenate(list(_near([hashes[names[0]] for names in known])), axis=1)
        graph = coo_array((np.ones(pairs.shape[1], bool), tuple(pairs)), shape=(len(known), len(known)))
        members = defaultdict(list)
        for number, label in enumerate(connected_components(graph, directed=False)[1]):
            members[label].append(known[number])
        for together in members.values():
            names = sorted(name for same in together for name in same)
            if len(names) > 1:
                found.append(Cluster(tuple(names), len(together) == 1))
    return sorted(found, key=lambda cluster: cluster.names)


def _near(hashes: list[tuple[str, str]]) -> Iterator[np.ndarray]:
    """Pairs of numbers, int64 (2, some), of pictures that look alike, mirrored or not."""
    upright, mirrored = (np.array([_bits(pair[side]) for pair in hashes]) for side in (0, 1))
    coarse, coarse_mirrored = _coarse(upright), _coarse(mirrored)
    yield np.empty((2, 0), np.int64)
    for start in range(0, len(hashes), _ROWS):
        rows = coarse[start : start + _ROWS, None]
        for others, fine in ((coarse, upright), (coarse_mirrored, mirrored)):
            # An upright picture is as far from a mirrored one as the other way round, so half of the pairs are enough.
            close = np.bitwise_count(rows ^ others[None, start:]) <= COARSE_NEAR
            one, other = (numbers + start for numbers in np.nonzero(np.triu(close, 1)))
            same = (upright[one] != fine[other]).sum(axis=1) <= NEAR
            yield np.stack([one[same], other[same]])


def _bits(digits: str) -> np.ndarray:
    return imagehash.hex_to_hash(digits).hash.reshape(-1)


def _coarse(bits: np.ndarray) -> np.ndarray:
    """The low frequencies alone: uint64 (N) of bool (N, SIDE * SIDE)."""
    low = bits.reshape(-1, SIDE, SIDE)[:, :COARSE, :COARSE].reshape(-1, COARSE * COARSE)
    return np.packbits(low, axis=1).view(np.uint64)[:, 0]
