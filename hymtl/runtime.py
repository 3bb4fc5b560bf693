"""How Python and the C library run this process: imports, memory, cores."""

import atexit
import contextlib
import ctypes
import gc
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from multiprocessing.context import BaseContext
from pathlib import Path

JOBS = "HYMTL_SWEEP_JOBS"  # in the environment: of how many jobs of a sweep this is one

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_NEVER = 2**31 - 1


@contextlib.contextmanager
def quicker_imports() -> Iterator[None]:
    """Imports inside the block take three quarters of their time, and what they made is passed over ever after."""
    known = len(sys.modules)
    with not_collecting():
        yield
    if len(sys.modules) > known:  # else there is nothing new that stays, as in all jobs of a sweep but its first
        pass_over()


def pass_over() -> None:
    """Look for no more garbage in what is there by now: of all imports half a million objects, half a second a time."""
    gc.freeze()
    atexit.register(gc.unfreeze)  # or what triton's own modules leave would be reported as leaks as the process ends


@contextlib.contextmanager
def not_collecting() -> Iterator[None]:
    """No garbage is looked for inside the block, where all that is made stays: none would be found, time and again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def keep_big_blocks() -> None:
    """Have malloc reuse what a network's layers free, where it would return each activation to the system.

    A page that comes from the system is zeroed and mapped at first touch, which costs a tenth and more of a
    training step on the CPU. Elsewhere than on glibc this does nothing.
    """
    mallopt = _glibc("mallopt")
    if mallopt:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _NEVER)
        mallopt(_M_TOP_PAD, 64 * 2**20)


def give_back() -> None:
    """Give the blocks that nobody uses back to the system.

    For the end of training: conversion works on tensors of other sizes, which do not fit into what training left
    free, and the process would grow for them, under qat by a tenth of a gigabyte. Between epochs the blocks stay, as
    the next one wants them again.
    """
    malloc_trim = _glibc("malloc_trim")
    if malloc_trim:
        malloc_trim(0)


def _glibc(function: str) -> Callable | None:
    """A function of glibc; None where another C library is in its place."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return getattr(ctypes.CDLL("libc.so.6"), function)
    except (OSError, AttributeError):
        return None


def ends_quickly() -> Callable[[int], None]:
    """What to call with the exit code once it is known: the process then ends without taking its objects apart.

    There are more than half a million after a run, which would take a second and a half, several on a busy machine.
    To be called before anything else wants to do something as the process ends: what asks first comes last.
    """
    codes: list[int] = []

    def leave() -> None:
        if codes:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(codes[-1])

    atexit.register(leave)
    return codes.append


def available_cores() -> int:
    """Cores that this process may use, which under a cluster's scheduler are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def number_of_workers(asked: int | str) -> int:
    """Processes that prepare a run's pictures, ``data.workers``. ``"auto"`` takes none below four cores: with pictures
    decoded once, they would only take cores from the network."""
    cores = available_cores()
    automatic = 0 if cores < 4 else min(8, cores // 2)
    return automatic if asked == "auto" else int(asked)


def of_workers() -> BaseContext:
    """How worker processes begin in this one: as Python has it, also where joblib put its own way, which torch's
    loaders cannot use, in place of that."""
    known, now = multiprocessing.get_all_start_methods(), multiprocessing.get_start_method()
    return multiprocessing.get_context(now if now in known else known[0])


def train_command() -> str:
    """How the user of this process begins a training: as it was begun itself, where it is one."""
    called = Path(sys.argv[0])
    installed = called.stem == "hymtl" or (called.stem, called.parent.name) == ("__main__", "hymtl")
    return "hymtl train" if installed else "python train.py"


def threads_in_words(count: int) -> str:
    """ "1 thread", "2 threads"."""
    return "1 thread" if count == 1 else f"{count} threads"
