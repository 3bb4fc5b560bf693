"""Work in a forked process: its exit code, all that it printed, its peak memory; killed where it is asked or hangs.

A process that has imported torch forks in a hundredth of a second, where a new one takes seconds to get there.
"""

import faulthandler
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

import torch

ROOM = 8 * 2**30  # bytes that a process may ask for, so that a bomb that goes off takes no machine with it
_POLL = 0.005  # seconds
_STOPPED = 1.0  # seconds: who looks again only then was stopped
_WHERE = signal.SIGUSR1  # has a process that hangs print where


@dataclass(frozen=True)
class Ended:
    """How a process ended: ``code`` is negative for a signal, ``peak`` bytes, ``seconds`` its wall-clock time.

    ``said`` is all that it printed, standard error last; ``answered`` is standard output alone, which a warning of a
    library cannot come between.
    """

    code: int
    said: str
    peak: int
    seconds: float
    hung: bool
    answered: str = ""

    @property
    def traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.said


class Limits:
    """What every command must keep to, and what was counted: no traceback, hang or crash, and memory below a limit."""

    def __init__(self, peak: float = 2e9) -> None:
        self.peak = peak
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.largest = 0  # bytes, of any process

    def run(self, work: Callable[[], int | None], name: str, limit: float) -> Ended:
        """Do ``work`` in a process of its own; what is wrong with how it ends is on record under ``name``."""
        ended = run(work, limit=limit)
        self.largest = max(self.largest, ended.peak)
        wrong = {
            "traceback": ended.traceback,
            "hang": ended.hung,
            "crash": ended.code < 0 and not ended.hung,
            "more memory than allowed": ended.peak > self.peak,
        }
        for what in [what for what, holds in wrong.items() if holds]:
            self.counts[what] += 1
            self.failures.append(f"{name}: {what} ({ended.peak / 1e9:.2f} GB): {ended.said[-3000:]}")
        return ended


def run(work: Callable[[], int | None], *, limit: float, kill_after: float | None = None) -> Ended:
    """Fork, do ``work``, and wait; SIGKILL to it and all it started after ``kill_after``, or ``limit``, seconds."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.monotonic()
        process = os.fork()
        if process == 0:
            _become(work, output, errors)
        status, usage, killed = _wait(process, limit if kill_after is None else kill_after, hangs=kill_after is None)
        seconds = time.monotonic() - started
        answered, complained = (_read(stream) for stream in (output, errors))
    code, hung = os.waitstatus_to_exitcode(status), killed and kill_after is None
    return Ended(code, answered + complained, usage.ru_maxrss * 1024, seconds, hung, answered)


def _read(stream: BinaryIO) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")


def _wait(process: int, seconds: float, *, hangs: bool) -> tuple[int, resource.struct_rusage, bool]:
    """Seconds in which this process was stopped itself, or the machine asleep or all its cores busy, do not count."""
    passed, killed, before = 0.0, False, time.monotonic()
    while True:
        found, status, usage = os.wait4(process, os.WNOHANG)
        if found:
            return status, usage, killed
        now = time.monotonic()
        passed, before = passed + min(now - before, _STOPPED), now
        if not killed and passed > seconds and passed - _queued(process) > seconds:
            if hangs:
                _have_it_say_where(process)
            killed = _kill(process)
        time.sleep(_POLL)


def _queued(process: int) -> float:
    """Seconds that it waited for a core, where the system counts them."""
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def _have_it_say_where(process: int) -> None:
    os.kill(process, _WHERE)
    time.sleep(1)


def _kill(process: int) -> bool:
    try:
        os.killpg(process, signal.SIGKILL)  # with the workers of its loaders, as when a machine is switched off
    except (ProcessLookupError, PermissionError):  # it has no group of its own yet, or is gone
        os.kill(process, signal.SIGKILL)
    return True


def _become(work: Callable[[], int | None], output: BinaryIO, errors: BinaryIO) -> NoReturn:
    """The child, which leaves nothing of the parent's undone or done twice: it never returns."""
    code = 70
    try:
        os.setsid()
        faulthandler.disable()  # pytest's
        faulthandler.register(_WHERE, errors.fileno())
        for descriptor, name, file in ((1, "stdout", output), (2, "stderr", errors)):
            os.dup2(file.fileno(), descriptor)
            stream = os.fdopen(descriptor, "w", closefd=False)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_DATA, (ROOM, ROOM))
        torch.set_num_threads(1)  # it has none of the others, and would wait for them
        code = work() or 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
