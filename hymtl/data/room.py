"""Memory for pictures that are decoded once: kept as they first come, shared with worker processes."""

import math
import mmap
import multiprocessing
import os
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Room:
    """``size`` bytes for the pictures of all splits, of which none is taken before it is used.

    Worker processes that are forked from this one find and keep pictures in the same memory.
    """

    def __init__(self, size: float) -> None:
        self.size = min(int(size), _memory())
        self.lock = multiprocessing.Lock()
        self._pictures, self._taken = _shared(self.size, np.uint8), _shared(1, np.int64)

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


class Shelf:
    """Pictures of one split, by their number, as far as they find room; without a room, none."""

    def __init__(self, room: Room | None, count: int) -> None:
        self.room, self.count = room, count
        self._places = _shared(4 * count if room else 0, np.int64).reshape(-1, 4)  # from 1; and the three sides

    def __reduce__(self) -> tuple[Any, ...]:
        return Shelf, (None, self.count)  # for a process that is not forked

    @property
    def whole(self) -> bool:
        """Whether all pictures are here."""
        return self.room is not None and bool(self._places[:, 0].all())

    def get(self, number: int) -> Tensor | None:
        """A picture that was put here: uint8 (C, H, W), not to be written to."""
        if self.room is None:
            return None
        with self.room.lock:  # who reads the place must find the picture there
            place, *shape = self._places[number].tolist()
        return self.room.at(place - 1, tuple(shape)) if place else None

    def put(self, number: int, picture: Tensor) -> None:
        """Keep a picture, uint8 (C, H, W), if it is not here yet and there is room for it."""
        if self.room is None:
            return
        with self.room.lock:
            place = None if self._places[number, 0] else self.room.take(picture)
            if place is not None:
                self._places[number] = (place + 1, *picture.shape)


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
