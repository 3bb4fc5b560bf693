"""From runs to the rows of tables: what was varied makes rows, seeds and folds are pooled."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from hymtl.report import statistics
from hymtl.report.records import Absent, Run, flat
from hymtl.report.statistics import Spread

POOLED = ("seed", "data.fold")
# Where things are and how fast they load: the table's digests say what data and weights were used.
_PLUMBING = (
    "run_dir", "ckpt_path", "data.root", "data.source", "data.workers", "data.cache_gb", "backbone.weights",
    "trainer.default_root_dir", "trainer.enable_progress_bar", "trainer.log_every_n_steps", "logger.",
    "callbacks.pictures.", "callbacks.last.",
)  # fmt: skip
# Choices that bring a recipe along: where one differs, what it brought is not worth a mention.
_CHOICES = ("experiment", "strategy.name", "backbone.name")
PAIRS_UP_TO = 12  # rows of which all pairs are tested; of more, each against the best one


@dataclass(frozen=True)
class Photos:
    """What the photos say of a row: ``right[i] / scale`` of the seeds have ``names[i]`` right."""

    names: list[str]
    labels: list[str]
    right: np.ndarray  # int64 (photos)
    scale: int
    guesses: list[Counter]  # how often each class was guessed

    def recall(self) -> dict[str, float]:
        """The fraction of each class's photos that is right, mean over seeds."""
        totals, counts = Counter(), Counter(self.labels)
        for label, right in zip(self.labels, self.right.tolist(), strict=True):
            totals[label] += right
        return {label: totals[label] / counts[label] / self.scale for label in sorted(counts)}


@dataclass
class Row:
    """Runs that differ in seed and fold alone. ``label`` says what distinguishes them from other rows."""

    settings: dict[str, object]
    runs: list[Run]
    label: str = ""
    absent: list[Absent] = field(default_factory=list)

    @cached_property
    def seeds(self) -> dict[int, dict[int | None, list[Run]]]:
        """The runs of each seed and fold: more than one is a rerun."""
        seeds = defaultdict(lambda: defaultdict(list))
        for run in self.runs:
            seeds[run.seed][run.split.get("fold")].append(run)
        return {seed: dict(seeds[seed]) for seed in sorted(seeds)}

    @cached_property
    def accuracy(self) -> Spread:
        """Deployed validation accuracy over seeds; a seed's folds make one result, its reruns their mean."""
        return statistics.spread(self._by_seed(lambda run: run.accuracy))

    @cached_property
    def trained_accuracy(self) -> float:
        """Of the network as it trained: float, or fake-quantized under qat."""
        return float(np.mean(self._by_seed(lambda run: run.result["best"]["val_acc"])))

    @property
    def test_accuracy(self) -> float | None:
        scores = [run.test_accuracy for run in self.runs]
        return None if None in scores else float(np.mean(scores))

    def _by_seed(self, score) -> list[float]:
        return [
            float(
                np.average(
                    [np.mean([score(run) for run in runs]) for runs in folds.values()],
                    weights=[runs[0].photos for runs in folds.values()],
                )
            )
            for folds in self.seeds.values()
        ]

    @property
    def photo_count(self) -> int:
        """Distinct photos that it was scored on."""
        if self.photos:
            return len(self.photos.names)
        return max(sum(runs[0].photos for runs in folds.values()) for folds in self.seeds.values())

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % over photos."""
        return statistics.wilson(self.accuracy.mean, self.photo_count)

    @property
    def size(self) -> int:
        return self.runs[0].size

    @cached_property
    def latency(self) -> Spread | None:
        return _spread(run.latency for run in self.runs)

    @cached_property
    def fit_seconds(self) -> Spread:
        return _spread(run.result["seconds"]["fit"] for run in self.runs)

    @cached_property
    def photos(self) -> Photos | None:
        """None where a run of the row keeps no predictions."""
        if not all(run.predictions for run in self.runs):
            return None
        reruns = math.lcm(*(len(runs) for folds in self.seeds.values() for runs in folds.values()))
        right, seen, labels, guesses = Counter(), Counter(), {}, defaultdict(Counter)
        for folds in self.seeds.values():
            for runs in folds.values():
                for run in runs:
                    weight = reruns // len(runs)
                    for guess in run.predictions:
                        right[guess.photo] += weight * (guess.label == guess.guess)
                        seen[guess.photo] += weight
                        labels[guess.photo] = guess.label
                        guesses[guess.photo][guess.guess] += 1
        names = sorted(labels)
        scale = math.lcm(*set(seen.values()))
        shares = np.array([right[name] * (scale // seen[name]) for name in names])
        return Photos(names, [labels[name] for name in names], shares, scale, [guesses[name] for name in names])

    @cached_property
    def notes(self) -> list[str]:
        """What a reader must know of this row, in a word or two; a table's notes explain the words."""
        notes = []
        duplicates = sum(len(runs) - 1 for folds in self.seeds.values() for runs in folds.values())
        if duplicates:
            notes.append(f"{duplicates} duplicate{'s' * (duplicates > 1)}")
        for seed, folds in self.seeds.items():
            expected = max(run.split.get("folds", 0) for runs in folds.values() for run in runs)
            if len(folds) < expected:
                notes.append(f"seed {seed}: {len(folds)} of {expected} folds")
        if not self.photos:
            notes.append("no predictions")
        notes += [f"{count} {status}" for status, count in sorted(Counter(lost.status for lost in self.absent).items())]
        return notes


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
        data = self.runs[0].result["dataset"]
        split = self.runs[0].split
        photos = f"{split['folds']} folds" if split else f"{data['train']} training + {data['val']} validation photos"
        weights = sorted({describe_weights(run) for run in self.runs})
        return f"{data['name']} ({photos}; sha256 {data['digest'][:12]}), {', '.join(weights)}"

    @cached_property
    def warnings(self) -> list[str]:
        """Fallbacks: data or weights that are not what was asked for."""
        sources = (run.result[source] for run in self.runs for source in ("dataset", "backbone"))
        return sorted({source["fallback"] for source in sources if source.get("fallback")})

    @cached_property
    def notes(self) -> list[str]:
        """How to read the numbers."""
        if all(run.test_accuracy is not None for run in self.runs):
            notes = [
                "The best epoch was chosen on the validation photos, which flatters that accuracy; test chose nothing."
            ]
        else:
            notes = [
                "The best epoch of every run was chosen on the very photos that are scored here: that flatters all rows."
            ]
        several = any(len(row.seeds) > 1 for row in self.rows)
        notes.append(
            "Accuracy is of the deployed network (int8 where there is one), validation; the 95 % interval is Wilson's "
            "over distinct photos" + (", the mean over seeds on them: seeds are not more photos." if several else ".")
        )
        said = " ".join(note for row in self.rows for note in row.notes)
        if "duplicate" in said:
            notes.append("A duplicate has the settings and the seed of another run: together they count as one seed.")
        if "folds" in said:
            notes.append(
                "Folds are MISSING: such a row is scored on fewer photos, and a difference is of those in common."
            )
        if "no predictions" in said:
            notes.append("Rows without predictions.csv (older runs) are not compared photo by photo.")
        times = ""
        if any(row.latency for row in self.rows):
            threads = self._all("threads")
            differ = " (different threads: times don't compare)" * (len(threads) > 1)
            times = f"; a photo's time is on the CPU with {_some(threads)} threads{differ}"
        notes.append(f"Fitted on {_some(self._all('device'))}{times}.")
        if len(commits := self._all("git")) > 1:
            notes.append(f"The runs are of different code: {_some([commit[:12] for commit in commits])}.")
        return notes

    def _all(self, key: str) -> list[str]:
        return sorted({str(run.result[key]) for run in self.runs if run.result.get(key) is not None})

    @cached_property
    def pairs(self) -> list[Pair]:
        """The rows compared photo by photo, the largest differences last; p-values are Holm's over all pairs."""
        rows = [row for row in self.rows if row.photos]
        everyone = len(rows) * (len(rows) - 1) // 2
        firsts = rows if len(rows) <= PAIRS_UP_TO else rows[:1]
        tested = [
            (first, second, *_compared(first.photos, second.photos))
            for i, first in enumerate(firsts)
            for second in rows[i + 1 :]
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


def tables(runs: list[Run], absent: Iterable[Absent] = ()) -> list[Table]:
    """Group runs; a failed or unfinished run is noted in the row whose overrides it shares but for seed and fold.

    Different data are never in one table, nor cross-validated and other runs (which score other photos), nor
    different weights of one backbone: where there are such, each set of weights has a table of its own.
    """
    datasets = defaultdict(list)
    for run in runs:
        datasets[run.result["dataset"]["digest"], run.split.get("folds", 0)].append(run)
    made = []
    for same_data in datasets.values():
        groups = defaultdict(list)
        mixed = _has_rival_weights(same_data)
        for run in same_data:
            groups[_weights(run) if mixed else None].append(run)
        made += [_table(group) for group in groups.values()]
    for table in made:
        _note_absent(table, absent)
    return made


def _weights(run: Run) -> tuple:
    return run.result["backbone"]["name"], run.result["backbone"].get("digest")


def _has_rival_weights(runs: list[Run]) -> bool:
    # Random weights are what strategy=scratch is about, not another version of the pretrained ones.
    known = {_weights(run) for run in runs if run.result["strategy"] != "scratch"}
    return len(known) > len({name for name, _ in known})


def describe_weights(run: Run) -> str:
    backbone = run.result["backbone"]
    digest = f" (sha256 {backbone['digest'][:12]})" if backbone.get("digest") else ""
    return f"{backbone['name']} with {Path(str(backbone.get('weights'))).name} weights{digest}"


def _table(runs: list[Run]) -> Table:
    configured = all(run.config for run in runs)  # else by what every record has
    groups: dict[str, Row] = {}
    for run in runs:
        chosen = _settings(run, configured)
        groups.setdefault(json.dumps(chosen, sort_keys=True, default=str), Row(chosen, [])).runs.append(run)
    rows = sorted(groups.values(), key=lambda row: -row.accuracy.mean)
    names = sorted({name for row in rows for name in row.settings})
    varied = [name for name in names if len({str(row.settings.get(name)) for row in rows}) > 1]
    for row in rows:
        row.label = _label(row, rows, varied)
    return Table(rows, varied)


def _settings(run: Run, configured: bool) -> dict[str, object]:
    result = run.result
    if configured:
        chosen = dict(run.config)
    else:
        chosen = {"epochs": result["epochs"], "data.batch_size": result.get("batch_size")}
        chosen |= flat({"optim": result["optim"], "scheduler": result["scheduler"]})
        chosen["trainer.precision"] = result.get("precision")
    # What was really used, where the config says auto.
    chosen |= {f"strategy.{name}": value for name, value in result["options"].items()}
    chosen |= {"strategy.name": result["strategy"], "backbone.name": result["backbone"]["name"]}
    chosen["experiment"] = dict(override.split("=", 1) for override in run.overrides if "=" in override).get(
        "experiment"
    )
    return {
        name: value
        for name, value in chosen.items()
        if value is not None and name not in POOLED and not name.startswith(_PLUMBING)
    }


def _label(row: Row, rows: list[Row], varied: list[str]) -> str:
    """The settings that tell a row from the others, as they would be typed.

    A strategy brings many settings along, so a setting is shown only where rows of the same choices differ in it, or
    where it was itself overridden.
    """
    kin = [other for other in rows if all(other.settings.get(name) == row.settings.get(name) for name in _CHOICES)]
    shown = [name for name in _CHOICES if name in varied and name in row.settings]
    typed = {override.lstrip("+").split("=", 1)[0] for run in row.runs for override in run.overrides}
    for name in varied:
        if name in _CHOICES or name not in row.settings:
            continue
        differing = any(
            other.settings.get(name) != row.settings[name] and _same_kind(other, row, name) for other in kin
        )
        if differing or name in typed:
            shown.append(name)
    return " ".join(describe(name, row.settings[name]) for name in shown or ["strategy.name"])


def _same_kind(one: Row, other: Row, name: str) -> bool:
    """Whether both have the same optimizer, or scheduler, to which a setting belongs."""
    target = f"{name.rpartition('.')[0]}._target_"
    return name == target or one.settings.get(target) == other.settings.get(target)


def describe(name: str, value: object) -> str:
    """A setting as it would be typed: ``strategy=qat``, ``optim.lr=0.001``."""
    if name.endswith("._target_"):
        value = str(value).rpartition(".")[2]
    text = f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
    return f"{name.removesuffix('.name').removesuffix('._target_')}={text}"


def _note_absent(table: Table, absent: Iterable[Absent]) -> None:
    for lost in absent:
        for row in table.rows:
            if lost.overrides and any(_unpooled(lost.overrides) == _unpooled(run.overrides) for run in row.runs):
                row.absent.append(lost)
                break


def _unpooled(overrides: tuple[str, ...]) -> set[str]:
    return {override for override in overrides if override.lstrip("+").split("=", 1)[0] not in POOLED}


def _compared(first: Photos, second: Photos) -> tuple[int, float, float]:
    """How many photos both were scored on, the difference of accuracy on them, and the p-value."""
    if first.names == second.names:
        left, right = first.right, second.right
    else:
        both = sorted(set(first.names) & set(second.names))
        if not both:
            return 0, 0.0, 1.0
        left, right = (
            photos.right[[position[name] for name in both]]
            for photos in (first, second)
            for position in [{name: i for i, name in enumerate(photos.names)}]
        )
    scale = math.lcm(first.scale, second.scale)
    differences = left * (scale // first.scale) - right * (scale // second.scale)
    return len(differences), float(differences.mean() / scale), statistics.paired(differences)


def _spread(values: Iterable[float | None]) -> Spread | None:
    values = [value for value in values if value is not None]
    return statistics.spread(values) if values else None


def _some(values: list[str]) -> str:
    """A few values, joined; of a record that lacks them, that."""
    return ", ".join(values[:4] or ["unknown"]) + (f" and {len(values) - 4} more" if len(values) > 4 else "")
