"""Memory that a process shares with the worker processes of its loaders, however these begin."""

import mmap
import os
import weakref
from multiprocessing import context, reduction
from typing import Any

import numpy as np

NO_FILE = -1  # what mmap takes for memory that is none's


class Shared:
    """``array``: ``size`` zeros, uint8, of which no memory is taken before it is used.

    A process that is forked has the same memory. One that is begun anew or from a server gets it as an open file, on
    Linux alone: memory as a file without a name, since containers often give /dev/shm, where torch and Python would
    make theirs, 64 megabytes.
    """

    def __init__(self, size: int, file: int | None = None) -> None:
        self.size = size
        self.file = _new_file(size) if file is None else file
        self.array = np.frombuffer(mmap.mmap(self.file, size), np.uint8) if size else np.empty(0, np.uint8)
        if self.file != NO_FILE:
            weakref.finalize(self, os.close, self.file)

    @property
    def can_be_sent(self) -> bool:
        """Whether what is pickled now is for a process that is being started, and can have this memory."""
        return self.file != NO_FILE and context.get_spawning_popen() is not None

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (self.size, reduction.DupFd(self.file))


def _new_file(size: int) -> int:
    if not size or not hasattr(os, "memfd_create"):
        return NO_FILE
    try:
        file = os.memfd_create("hymtl")
    except OSError:  # forbidden, as hardened systems do
        return NO_FILE
    try:
        os.ftruncate(file, size)
    except OSError:  # more than a file may have (ulimit -f)
        os.close(file)
        return NO_FILE
    return file


def _received(size: int, sent: Any) -> Shared:
    return Shared(size, sent.detach())
