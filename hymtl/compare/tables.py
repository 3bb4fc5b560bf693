"""A table: rows on the same data, what is to be said of them, and which of their differences are more than noise."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hymtl.compare import learning, statistics
from hymtl.compare.learning import LearningCurve
from hymtl.compare.rows import Photos, Row, paired
from hymtl.compare.runs import Run
from hymtl.records.summary import COPIES, across

PAIRS_UP_TO = 12  # rows of which all pairs are tested; of more, each against the best one


@dataclass(frozen=True)
class Pair:
    """Two rows on the photos that both were scored on.

    ``difference`` is the first's accuracy there minus the second's; ``p`` is Holm's adjusted value.
    """

    first: Row
    second: Row
    photos: int
    difference: float
    p: float

    @property
    def noise(self) -> bool:
        return self.p >= statistics.LEVEL

    def __str__(self) -> str:
        points = abs(self.difference) * 100
        names = (self.first.label, self.second.label)
        higher, lower = names if self.difference >= 0 else names[::-1]
        p = "p < 0.0001" if self.p < 1e-4 else f"p = {self.p:.2g}"
        if self.difference == 0:
            return f"{higher} and {lower}: equal on {self.photos} photos, {p}"
        verdict = "within noise" if self.noise else "more than noise"
        return f"{higher} over {lower} by {points:.1f} points on {self.photos} photos: {verdict}, {p}"


@dataclass
class Table:
    """Rows on the same data, each backbone with the same weights, the best first."""

    rows: list[Row]
    varied: list[str]

    @property
    def runs(self) -> list[Run]:
        return [run for row in self.rows for run in row.runs]

    @cached_property
    def title(self) -> str:
        """The dataset and the weights, each with the first digits of its sha256."""
        data = max((run.result.dataset for run in self.runs), key=lambda data: data.train)
        split = self.runs[0].split
        photos = f"{split.folds} folds" if split.folds else f"{data.train} training + {data.val} validation photos"
        if fraction := split.test_fraction:
            photos += f", {fraction:.0%} of all set aside for a test"
        if split.split_seed:
            photos += f", split_seed {split.split_seed}"
        if split.group:
            photos += f", groups {split.group}"
        if split.leaks:
            photos += ", copies dropped"
        weights = sorted({_weights(run) for run in self.runs})
        return f"{data.name} ({photos}; sha256 {data.digest[:12]}), {', '.join(weights)}"

    @cached_property
    def numbers(self) -> dict[str, list[float | None]]:
        """Settings that took at least three numbers, as a search's do: each row's, None where it has none."""
        found: dict[str, list[float | None]] = {}
        for name in self.varied:
            values: list[Any] = [row.settings.get(name) for row in self.rows]
            given = [value for value in values if value is not None]
            numeric = all(type(value) in (int, float) and math.isfinite(value) for value in given)  # bool is neither
            if numeric and len(set(given)) >= 3 and name != learning.SETTING:  # which has a chart of its own
                found[name] = values
        return found

    @cached_property
    def learning_curves(self) -> list[LearningCurve]:
        """How accuracy grew with the pictures that trained, where a sweep varied them."""
        return learning.curves(self.rows)

    @cached_property
    def warnings(self) -> list[str]:
        """Data or weights that are not what was asked for, and pictures that give answers away."""
        sources = (source for run in self.runs for source in (run.result.dataset, run.result.backbone))
        found = sorted({source.fallback for source in sources if source.fallback})
        return [*found, f"{across(self.copies)}, which flatters accuracy. {COPIES}"] if self.copies else found

    @cached_property
    def copies(self) -> int:
        """How many pictures stand on two sides of a split, of any run."""
        return len({tuple(names) for run in self.runs for names in run.result.copies})

    @cached_property
    def notes(self) -> list[str]:
        """How to read the numbers."""
        if all(run.split.folds and run.split.fold is None for run in self.runs):
            notes = [
                "Validation is out of fold: of networks that had not seen the photo. No epoch was chosen by it here."
            ]
        elif all(run.result.epochs == 1 for run in self.runs):
            notes = []  # nothing was chosen
        elif all(run.test_accuracy is not None for run in self.runs):
            notes = [
                "The best epoch was chosen on the validation photos, which flatters that accuracy; test chose nothing."
            ]
        else:
            notes = [
                "Each run's best epoch was chosen on the very photos that are scored here, which flatters all rows."
            ]
        several = any(len(row.seeds) > 1 for row in self.rows)
        notes.append(
            "Accuracy is of the deployed network (int8 where there is one), validation; the 95 % interval is Wilson's "
            "over distinct photos" + (", the mean over seeds on them: seeds are not more photos." if several else ".")
        )
        if self.learning_curves:
            notes.append(learning.NOTE)
        said = " ".join(note for row in self.rows for note in row.notes)
        if "duplicate" in said:
            notes.append("A duplicate has the settings and the seed of another run: together they count as one seed.")
        if any(row.photos and row.photos.groups for row in self.rows):
            notes.append(
                "Photos of one group err alike, and intervals and p-values here take each for itself: they are too "
                "narrow. A choice counts groups."
            )
        if "folds" in said:
            notes.append(
                "Folds are MISSING: such a row is scored on fewer photos, and a difference is of those in common."
            )
        if "no predictions" in said:
            notes.append("Rows without predictions.csv (older runs) are not compared photo by photo.")
        notes.append(f"Fitted on {_some(self._all('device'))}.")
        if machines := sorted({run.benchmark.machine for run in self.runs if run.benchmark}):
            differ = " (several: times of different machines don't compare)" * (len(machines) > 1)
            notes.append(f"A photo's time is hymtl benchmark's, on {_some(machines)}{differ}.")
        if len(commits := self._all("git")) > 1:
            named = [f"{commit[:12]}{' with changes' * commit.endswith('-dirty')}" for commit in commits]
            notes.append(f"The runs are of different code: {_some(named)}.")
        return notes

    def _all(self, key: str) -> list[str]:
        return sorted({str(value) for run in self.runs if (value := getattr(run.result, key)) is not None})

    @cached_property
    def pairs(self) -> list[Pair]:
        """The rows compared photo by photo, the largest differences last; p-values are Holm's over all pairs."""
        rows = [(row, row.photos) for row in self.rows if row.photos]
        everyone = len(rows) * (len(rows) - 1) // 2
        firsts = rows if len(rows) <= PAIRS_UP_TO else rows[:1]
        tested = [
            (first, second, *_compared(photos, others))
            for i, (first, photos) in enumerate(firsts)
            for second, others in rows[i + 1 :]
        ]
        tested = [outcome for outcome in tested if outcome[2]]
        # The best row was found by looking at all of them, so that all pairs count even where few are tested.
        adjusted = statistics.holm([p for *_, p in tested], everyone)
        return [Pair(*outcome[:-1], p) for outcome, p in zip(tested, adjusted, strict=True)]

    @property
    def pairs_note(self) -> str:
        """Which pairs were tested, and how."""
        rows = sum(row.photos is not None for row in self.rows)
        everyone = rows * (rows - 1) // 2
        many = any(len(row.seeds) > 1 for row in self.rows)
        test = "exact paired sign-flip test on per-photo means over seeds" if many else "exact McNemar test"
        which = (
            "" if rows <= PAIRS_UP_TO else f", each against the best row only, which looking at {rows} rows has found"
        )
        return (
            f"Photo by photo, {test}{which}; p after Holm's correction for {everyone} pair{'s' * (everyone != 1)}. "
            "It is about these trained networks on other photos: what other seeds would do, "
            + ("the spread over seeds tells." if many else "one seed cannot tell.")
        )


def _weights(run: Run) -> str:
    backbone = run.result.backbone
    digest = f" (sha256 {backbone.digest[:12]})" if backbone.digest else ""
    return f"{backbone.name} with {Path(str(backbone.weights)).name} weights{digest}"


def _compared(first: Photos, second: Photos) -> tuple[int, float, float]:
    """How many photos both were scored on, the difference of accuracy on them, and the p-value."""
    differences, scale = paired(first, second)
    if not len(differences):
        return 0, 0.0, 1.0
    return len(differences), float(differences.mean() / scale), statistics.paired(differences)


def _some(values: list[str]) -> str:
    """A few values, joined; of a record that lacks them, that."""
    return ", ".join(values[:4] or ["unknown"]) + (f" and {len(values) - 4} more" if len(values) > 4 else "")
