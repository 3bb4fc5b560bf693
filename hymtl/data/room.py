"""Memory for pictures that are decoded once: kept as they first come, shared with worker processes and by runs."""

import math
import mmap
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hymtl.runtime import of_workers


class Room:
    """``size`` bytes for the pictures of all splits, of which none is taken before it is used.

    Worker processes that are forked from this one find and keep pictures in the same memory.
    """

    def __init__(self, size: float) -> None:
        self.size = self.possible(size)
        self.lock = of_workers().Lock()
        self._pictures, self._taken = _shared(self.size, np.uint8), _shared(1, np.int64)
        self._shelves: list[tuple[str, Sequence[str | None], Shelf]] = []

    @staticmethod
    def possible(size: float) -> int:
        """Bytes of a room that should have ``size``."""
        return min(int(size), _memory())

    @property
    def filled(self) -> float:
        """The share of it that is taken."""
        return int(self._taken[0]) / max(1, self.size)

    def shelf(self, digests: Sequence[str | None], prepared: str) -> "Shelf":
        """A shelf for pictures of these sha256, ``prepared`` as that says in words.

        Those that lie in the room already, prepared alike, are found at once; of one without a digest nothing is known.
        """
        known: dict[str | None, np.ndarray] = {}
        for words, others, shelf in self._shelves:
            if words == prepared and others == digests and None not in digests:
                return shelf
            if words == prepared:
                known |= {
                    others[number]: shelf.places[number] for number in np.flatnonzero(shelf.places[:, 0]).tolist()
                }
        known.pop(None, None)
        made = Shelf(self, len(digests))
        for number, digest in enumerate(digests if known else ()):
            if digest in known:
                made.places[number] = known[digest]
        self._shelves.append((prepared, digests, made))
        return made

    def take(self, picture: Tensor) -> int | None:
        """Where a uint8 picture lies from now on; None where there is no room for it. The caller holds the lock."""
        place, size = int(self._taken[0]), picture.numel()
        if place + size > self.size:
            return None
        self._pictures[place : place + size] = picture.reshape(-1).numpy()
        self._taken[0] += size
        return place

    def at(self, place: int, shape: tuple[int, ...]) -> Tensor:
        """The picture of that shape that lies there, not to be written to."""
        return torch.from_numpy(self._pictures[place : place + math.prod(shape)].reshape(shape))


class _Last:
    room: Room | None = None


def room(size: float) -> Room:
    """The room of this process's last run, so that a sweep decodes its pictures once.

    A new one where it had another size, or is more than half full: of pictures, maybe, that this run has no use for.
    """
    if not size:
        return Room(0)
    last = _Last.room
    if last is None or last.size != Room.possible(size) or last.filled > 0.5:
        last = _Last.room = Room(size)
    last.lock = of_workers().Lock()  # a worker that was killed may still have the one before
    return last


class Shelf:
    """Pictures of one split, by their number, as far as they find room; without a room, none."""

    def __init__(self, room: Room | None, count: int) -> None:
        self.room, self.count = room, count
        # Where each picture lies, from 1, and its three sides.
        self.places = _shared(4 * count if room else 0, np.int64).reshape(-1, 4)

    def __reduce__(self) -> tuple[Any, ...]:
        return Shelf, (None, self.count)  # for a process that is not forked

    @property
    def whole(self) -> bool:
        """Whether all pictures are here."""
        return self.room is not None and bool(self.places[:, 0].all())

    def get(self, number: int) -> Tensor | None:
        """A picture that was put here: uint8 (C, H, W), not to be written to."""
        if self.room is None:
            return None
        with self.room.lock:  # who reads the place must find the picture there
            place, *shape = self.places[number].tolist()
        return self.room.at(place - 1, tuple(shape)) if place else None

    def put(self, number: int, picture: Tensor) -> None:
        """Keep a picture, uint8 (C, H, W), if it is not here yet and there is room for it."""
        if self.room is None:
            return
        with self.room.lock:
            place = None if self.places[number, 0] else self.room.take(picture)
            if place is not None:
                self.places[number] = (place + 1, *picture.shape)


def _memory() -> int:
    """Bytes of this machine, more than which no system promises."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return 2**62


def _shared(count: int, kind: type) -> np.ndarray:
    """Zeros that forked processes share."""
    if not count:
        return np.empty(0, kind)
    return np.frombuffer(mmap.mmap(-1, count * np.dtype(kind).itemsize), kind)
