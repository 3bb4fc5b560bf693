"""How fast the networks of a race are, by `hymtl benchmark`, and what that and the end of a race will take."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hymtl import records
from hymtl.deploy import benchmark
from hymtl.records import benchmark as benchmark_record
from hymtl.records import result

if TYPE_CHECKING:
    from hymtl.choose.race import Race

ROUND = sum(benchmark_record.BATCHES) * (benchmark.WARM + benchmark.ROUNDS)  # pictures that timing one network takes
CHANGES = 5  # times that the winner sees the test part: as it is, and changed


def timed(folder: Path) -> bool:
    """Whether a run was."""
    return (folder / benchmark_record.FILE).is_file()


def time(folders: Sequence[Path], *, again: bool = False) -> None:
    """Leave ``benchmark.json`` in each run's folder, of all side by side; unless all have one, or ``again``."""
    if again or not all(map(timed, folders)):
        for folder, made in benchmark.run(list(folders)).items():
            records.write(made, folder / benchmark_record.FILE)


def end(race: "Race") -> float:
    """Seconds that timing all networks and scoring the winner on the test part will take, about."""
    from hymtl.choose import jobs

    seconds = 0.0
    for strategy in jobs.strategies(race.cfg):
        for folder in race.done(strategy)[:1]:
            made = records.read(result.Result, folder / result.FILE)
            photo = made.seconds.photo or 0.0
            tested = (made.dataset.model_extra or {}).get("aside", 0) * CHANGES
            seconds += photo * ROUND * (2 if made.int8 else 1) + (photo + 0.02) * tested
    return seconds
