"""How glibc hands out memory: big blocks kept from layer to layer, and given back after training."""

import ctypes
import sys
from collections.abc import Callable

import pytorch_lightning as pl

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_NEVER = 2**31 - 1


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


class GiveBack(pl.Callback):
    """Give the blocks that nobody uses back when fitting ends.

    Conversion works on tensors of other sizes, which do not fit into what training left free, and the process would
    grow for them: under qat by a tenth of a gigabyte. Between epochs the blocks stay, as the next one wants them again.
    """

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
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
