"""``choose.hours``: how long each job may take, so that all of it, the winner's training included, ends in time."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from hymtl import records
from hymtl.records import job, race, result
from hymtl.records.race import Race

KEPT = 0.05  # of the hours, for what is not foreseen
BEAT = 2.0  # seconds between signs of life


class Budget:
    """The seconds of a race in ``folder``, those of attempts that were cut short included."""

    def __init__(self, folder: Path, hours: float | None) -> None:
        self.hours = hours
        earlier = _earlier(folder)
        self.record = Race(began=time.time(), spent=earlier)
        folder.mkdir(parents=True, exist_ok=True)
        records.write(self.record, folder / race.FILE)

    @property
    def spent(self) -> float:
        """Seconds."""
        return self.record.spent + time.time() - self.record.began

    def left(self) -> float:
        """Seconds; infinite without a limit."""
        return float("inf") if self.hours is None else self.hours * 3600 * (1 - KEPT) - self.spent


@contextlib.contextmanager
def living(folder: Path) -> Iterator[None]:
    """The age of a race's record is the time since it was last alive, however it ends: within, it is touched again."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT):
            with contextlib.suppress(OSError):
                os.utime(folder / race.FILE)

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _earlier(folder: Path) -> float:
    """What earlier attempts took, up to the last sign of life of each."""
    before = records.found(Race, folder / race.FILE)
    if before is None:
        return 0.0
    return before.spent + max(0.0, (folder / race.FILE).stat().st_mtime - before.began)


def took(folder: Path) -> float:
    """Seconds that a finished job took, from its claim on the folder to its record."""
    fit = records.read(result.Result, folder / result.FILE).seconds.fit or 0.0
    claimed = folder / job.FILE
    wall = (folder / result.FILE).stat().st_mtime - claimed.stat().st_mtime if claimed.is_file() else 0.0
    return max(fit, wall)
