"""Importing torch and Lightning in less time."""

import contextlib
import gc
import sys
import types
from collections.abc import Iterator


@contextlib.contextmanager
def quicker_imports() -> Iterator[None]:
    """Imports inside the block take a good two thirds of their time.

    What is imported stays, so looking for garbage in it, time and again, finds none. And torchmetrics imports
    scipy.signal for nothing but to see whether it has a function that newer ones lack: here something else says yes.
    """
    signal = types.SimpleNamespace(hamming=None)
    collecting = gc.isenabled()
    gc.disable()
    sys.modules.setdefault("scipy.signal", signal)
    try:
        yield
    finally:
        if sys.modules["scipy.signal"] is signal:
            del sys.modules["scipy.signal"]
        if collecting:
            gc.enable()
