"""How glibc hands out memory: keep big blocks instead of giving them back after every layer."""

import ctypes
import sys

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_NEVER = 2**31 - 1


def keep_big_blocks() -> None:
    """Have malloc reuse what a network's layers free, where it would return each activation to the system.

    A page that comes from the system is zeroed and mapped at first touch, which costs a tenth and more of a
    training step on the CPU. Elsewhere than on glibc this does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, _NEVER)
    mallopt(_M_TOP_PAD, 64 * 2**20)
