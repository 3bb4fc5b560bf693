"""SIGINT, SIGTERM and SIGHUP: a command ends within seconds, and says how to go on. It needs nothing that is heavy.

The first signal raises :class:`Stopped` wherever the program is; files are whole or not there whatever it
interrupts (see :mod:`hymtl.files`), so what the last finished epoch saved stays. The second ends the process at once.
SIGALRM raises :class:`OutOfTime` as a job of a race has had its time.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

PATIENCE = 5.0  # seconds that cleaning up may take; files are whole whatever is cut short
AGAIN = 0.1  # seconds after which an alarm rings again that came while something was imported
_HANDLED = ("SIGINT", "SIGTERM", "SIGHUP")  # the last is unknown to Windows


class Stopped(SystemExit):
    """The process was told to end. Its exit code is what a shell gives for the signal: 130, 143 or 129."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.status = 128 + number
        self.words = f"stopped by {signal.Signals(number).name}"


class OutOfTime(BaseException):
    """A job of a race will not be over in time; its checkpoint stays, so that it can go on with more time.

    No ``Exception``, as it comes wherever the program is: a picture being read as it comes is not a bad one.
    """


@contextlib.contextmanager
def alarm(until: float | None) -> Iterator[None]:
    """Raises :class:`OutOfTime` within, once it is ``until``, in seconds since 1970; None: never.

    In the main thread alone, and where the system has such a signal, which Windows has not.
    """
    here = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
    if until is None or not here:
        yield
        return
    before = signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, max(1e-3, until - time.time()))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _ring(number: int, frame: FrameType | None) -> None:
    if _importing(frame):  # a library that was half imported would fail the next job in this process
        signal.setitimer(signal.ITIMER_REAL, AGAIN)
        return
    raise OutOfTime("Its share of choose.hours is used up.")


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("importlib"):
            return True
        frame = frame.f_back
    return False


class _State:
    process = 0  # that handles signals; those forked from it leave that to it
    stopped = False
    goes_on_with: str | None = None


def handle(go_on: str | None = None) -> None:
    """Handle the signals from now on, in this process; those that it was started to ignore (nohup) stay ignored.

    ``go_on`` as :func:`go_on_with` takes it.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    go_on_with(go_on)
    _State.process, _State.stopped = os.getpid(), False
    for number in handled_here():
        signal.signal(number, _stop)


def handled_here() -> list[signal.Signals]:
    """The signals that end a command, those of this system that the process was not started to ignore."""
    known = [getattr(signal, name) for name in _HANDLED if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]


def handled() -> bool:
    """Whether this process, or the one it was forked from, handles the signals."""
    return _State.process != 0


def stopped() -> bool:
    """Whether this process was told to end."""
    return _State.stopped


def go_on_with(command: str | None) -> None:
    """What a user who stops this process from now on is told to type; None where whoever ends has its own words."""
    _State.goes_on_with = command


def _stop(number: int, frame: FrameType | None) -> None:
    if os.getpid() != _State.process:  # a worker, which gets Ctrl-C too: who started it ends it
        if number == signal.SIGTERM:
            os._exit(128 + number)
        return
    if _State.stopped:
        os._exit(128 + number)
    _State.stopped = True
    if _State.goes_on_with is not None:
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"\n{_words(number)}\n".encode())
    watch = threading.Timer(PATIENCE, os._exit, (128 + number,))  # where something swallows the exception, or hangs
    watch.daemon = True
    watch.start()
    raise Stopped(number)


def _words(number: int) -> str:
    return f"hymtl: stopped by {signal.Signals(number).name}. To go on: {_State.goes_on_with}"
