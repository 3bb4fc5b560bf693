"""``choose.hours``: how long each job may take, so that all of it, the winner's training included, ends in time."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from hymtl import records
from hymtl.errors import HymtlError
from hymtl.records import job, race, result
from hymtl.records.race import Race

KEPT = 0.05  # of the hours, for what is not foreseen
BEAT = 2.0  # seconds between signs of life


class Budget:
    """The seconds of a race in ``folder``, those of attempts that were cut short included."""

    def __init__(self, folder: Path, hours: float | None) -> None:
        self.hours, self.file = hours, folder / race.FILE
        before = records.found(Race, self.file)
        self.earlier, self.began = before.spent if before else 0.0, time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        self.keep()

    @property
    def spent(self) -> float:
        """Seconds."""
        return self.earlier + time.monotonic() - self.began

    def left(self) -> float:
        """Seconds; infinite without a limit."""
        return float("inf") if self.hours is None else self.hours * 3600 * (1 - KEPT) - self.spent

    def keep(self) -> None:
        """Write down what was spent until now."""
        records.write(Race(format=race.FORMAT, spent=self.spent), self.file)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Within, that is written down again and again, as nobody knows how an attempt will end."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT):
                with contextlib.suppress(HymtlError, OSError):  # a disk that is full may have room again
                    self.keep()

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def took(folder: Path) -> float:
    """Seconds that a finished job took, from its claim on the folder to its record."""
    fit = records.read(result.Result, folder / result.FILE).seconds.fit or 0.0
    claimed = folder / job.FILE
    wall = (folder / result.FILE).stat().st_mtime - claimed.stat().st_mtime if claimed.is_file() else 0.0
    return max(fit, wall)
