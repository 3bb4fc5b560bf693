"""The learning curve: accuracy against how many pictures trained, and whether more of them would help."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hymtl.compare import statistics
from hymtl.compare.rows import Row
from hymtl.compare.statistics import Growth

SETTING = "data.train_fraction"
ENOUGH = 0.005  # a gain of accuracy that is hardly worth the pictures


@dataclass(frozen=True)
class LearningCurve:
    """Rows that differ in how many pictures trained alone, fewest first; ``places`` are their numbers in the table."""

    label: str
    rows: list[Row]
    places: list[int]

    @cached_property
    def pictures(self) -> list[float]:
        """How many trained each row: a mean over folds, which differ by one."""
        return [float(np.mean([run.result.dataset.train for run in row.runs])) for row in self.rows]

    @property
    def more(self) -> int:
        """How many more are asked about: a round number, at most as many again as there are."""
        most = round(self.pictures[-1])
        unit = 10 ** (len(str(most)) - 1)
        return most // unit * unit

    @cached_property
    def growth(self) -> Growth | None:
        """What ``more`` pictures would bring; None where the rows were not scored on the same photos."""
        # The step that comes nearest to a doubling: a shorter one is lost in noise, a longer one says what is past.
        steps = [i for i, pictures in enumerate(self.pictures) if pictures < self.pictures[-1]]
        half = min(steps, key=lambda i: abs(np.log(self.pictures[-1] / 2 / self.pictures[i])))
        fewer, most = self.rows[half].photos, self.rows[-1].photos
        if fewer is None or most is None or fewer.names != most.names:
            return None
        sizes = (self.pictures[half], self.pictures[-1], self.pictures[-1] + self.more)
        return statistics.growth(fewer.right / fewer.scale, most.right / most.scale, *sizes)

    def __str__(self) -> str:
        if self.growth is None:
            kept = all(row.photos for row in self.rows)
            reason = "its rows are not scored on the same photos" if kept else "a run of it has no predictions"
            return f"{self.label}: {reason}, so what more would bring is not said."
        gain, low, high = (100 * points for points in (self.growth.gain, self.growth.low, self.growth.high))
        most = round(self.pictures[-1])
        if self.growth.low > 0:
            verdict = "would help"
        elif self.growth.high < ENOUGH:
            verdict = "would hardly help"
        else:
            verdict = "may help or not: these photos cannot tell"
        return (
            f"{self.label}: {self.more} more training pictures than the {most} {verdict} "
            f"({gain:+.1f} points expected, 95 % interval {low:+.1f} to {high:+.1f})."
        )


NOTE = (
    "What more pictures would bring: as if error went on as a power of their number, by what about the last doubling "
    "did to the same photos; the interval is about the photos, not about which pictures trained. Of fewer pictures an "
    "epoch has fewer steps."
)


def curves(rows: list[Row]) -> list[LearningCurve]:
    """Those of a table's rows, the most accurate first; one needs two numbers of pictures at least."""
    alike: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        others = {name: value for name, value in row.settings.items() if name != SETTING}
        alike[repr(sorted(others.items(), key=str))].append(place)
    found = []
    for places in alike.values():
        places.sort(key=lambda place: _fraction(rows[place]))
        curve = LearningCurve(_label(rows[places[-1]]), [rows[place] for place in places], places)
        if curve.pictures[0] < curve.pictures[-1]:
            found.append(curve)
    return sorted(found, key=lambda curve: -curve.rows[-1].accuracy.mean)


def _fraction(row: Row) -> float:
    return row.runs[0].split.train_fraction


def _label(row: Row) -> str:
    """What is left of a row's label without the fraction."""
    words = [word for word in row.label.split(" ") if not word.startswith(f"{SETTING}=")]
    return " ".join(words) or f"strategy={row.settings['strategy.name']}"
