"""``choose.hours``: how long each job may take, so that all of it, the winner's training included, ends in time."""

import time
from pathlib import Path

from hymtl import records
from hymtl.errors import HymtlError
from hymtl.records import choice, failure, job, race, result
from hymtl.records.race import Race

KEPT = 0.05  # of the hours, for what is not foreseen
WRITTEN = (job.FILE, "last.ckpt", result.FILE, failure.FILE, choice.FILE)  # as a race goes on, and only then


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


def _earlier(folder: Path) -> float:
    """What earlier attempts took: each ended, at the latest, with the last file it wrote."""
    try:
        before = records.read(Race, folder / race.FILE)
    except HymtlError:
        return 0.0
    last = max((file.stat().st_mtime for name in WRITTEN for file in folder.rglob(name)), default=before.began)
    return before.spent + max(0.0, last - before.began)


def took(folder: Path) -> float | None:
    """Seconds that a finished job took, from its claim on the folder to its record; None where it is not finished."""
    if not (folder / result.FILE).is_file():
        return None
    fit = records.read(result.Result, folder / result.FILE).seconds.fit or 0.0
    claimed = folder / job.FILE
    wall = (folder / result.FILE).stat().st_mtime - claimed.stat().st_mtime if claimed.is_file() else 0.0
    return max(fit, wall)
