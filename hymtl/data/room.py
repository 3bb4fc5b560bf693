"""Memory for pictures that are decoded once: kept as they first come, shared with worker processes and by runs."""

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hymtl.data.shared import Shared
from hymtl.runtime import of_workers

WORD = 8  # bytes of an int64


class Room:
    """``size`` bytes for the pictures of all splits, of which none is taken before it is used.

    Worker processes find and keep pictures in the same memory, where :class:`Shared` can be theirs.
    """

    def __init__(self, size: float) -> None:
        self.size = self.possible(size)
        self.lock = of_workers().Lock()
        self.memory = Shared(WORD + self.size if self.size else 0)  # which begins with how many bytes are taken
        self._shelves: list[tuple[str, Sequence[str | None], Shelf]] = []

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_shelves": []}  # a worker makes no shelf

    @staticmethod
    def possible(size: float) -> int:
        """Bytes of a room that should have ``size``."""
        return min(int(size), _memory())

    @property
    def filled(self) -> float:
        """The share of it that is taken."""
        return int(self.words(0, 1)[0]) / self.size if self.size else 0.0

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
        with self.lock:
            made = Shelf(self, len(digests), self._take(len(digests) * Shelf.WORDS * WORD))
        if made.room is None:
            return made
        for number, digest in enumerate(digests if known else ()):
            if digest in known:
                made.places[number] = known[digest]
        self._shelves.append((prepared, digests, made))
        return made

    def take(self, picture: Tensor) -> int | None:
        """Where a uint8 picture lies from now on; None where there is no room for it. The caller holds the lock."""
        place = self._take(picture.numel())
        if place is not None:
            self.memory.array[place : place + picture.numel()] = picture.reshape(-1).numpy()
        return place

    def at(self, place: int, shape: tuple[int, ...]) -> Tensor:
        """The picture of that shape that lies there, not to be written to."""
        return torch.from_numpy(self.memory.array[place : place + math.prod(shape)].reshape(shape))

    def words(self, place: int, count: int) -> np.ndarray:
        """The int64 that lie there."""
        return self.memory.array[place : place + count * WORD].view(np.int64)

    def _take(self, size: int) -> int | None:
        if not self.size:
            return None
        taken, whole = self.words(0, 1), -(-size // WORD) * WORD  # as numbers lie at whole words
        if taken[0] + whole > self.size:
            return None
        taken += whole
        return WORD + int(taken[0]) - whole


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
    """Pictures of one split, by their number, as far as they find room; without a room, or a ``place`` in it, none."""

    WORDS = 4  # of each picture: where it lies, and its three sides; zeros before it does

    def __init__(self, room: Room | None, count: int, place: int | None = None) -> None:
        self.room, self.count, self.place = room if place is not None else None, count, place

    def __reduce__(self) -> tuple[Any, ...]:
        sent = self.room is not None and self.room.memory.can_be_sent
        return Shelf, (self.room, self.count, self.place) if sent else (None, self.count)

    @property
    def places(self) -> np.ndarray:
        """Where each picture lies, and its sides: int64 (count, WORDS)."""
        assert self.room is not None and self.place is not None
        return self.room.words(self.place, self.count * self.WORDS).reshape(self.count, self.WORDS)

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
        return self.room.at(place, tuple(shape)) if place else None

    def put(self, number: int, picture: Tensor) -> None:
        """Keep a picture, uint8 (C, H, W), if it is not here yet and there is room for it."""
        if self.room is None:
            return
        with self.room.lock:
            place = None if self.places[number, 0] else self.room.take(picture)
            if place is not None:
                self.places[number] = (place, *picture.shape)


def _memory() -> int:
    """Bytes of this machine, more than which no system promises."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return 2**62
