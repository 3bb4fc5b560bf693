"""A row of a table: runs that differ in seed and fold alone, pooled."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import median_low

import numpy as np

from hymtl import metrics
from hymtl.compare import bounds, statistics
from hymtl.compare.runs import Absent, Run
from hymtl.compare.statistics import Spread


@dataclass(frozen=True)
class Photos:
    """What the photos say of a row: ``right[i] / scale`` of the seeds have ``names[i]`` right."""

    names: list[str]
    labels: list[str]
    right: np.ndarray  # int64 (photos)
    scale: int
    guesses: list[Counter]  # how often each class was guessed
    groups: list[str] | None = None  # of photos that are no independent ones; None where each stands for itself

    def recall(self) -> dict[str, float]:
        """The fraction of each class's photos that is right, mean over seeds."""
        totals: Counter[str] = Counter()
        counts = Counter(self.labels)
        for label, right in zip(self.labels, self.right.tolist(), strict=True):
            totals[label] += right
        return {label: totals[label] / counts[label] / self.scale for label in sorted(counts)}

    def confusion(self) -> np.ndarray:
        """All seeds' guesses together, int64 (classes, classes): rows the true class, columns the guessed one."""
        classes = sorted({*self.labels, *(guess for guesses in self.guesses for guess in guesses)})
        place = {name: i for i, name in enumerate(classes)}
        matrix = np.zeros((len(classes), len(classes)), dtype=np.int64)
        for label, guesses in zip(self.labels, self.guesses, strict=True):
            for guess, count in guesses.items():
                matrix[place[label], place[guess]] += count
        return matrix


@dataclass
class Row:
    """Runs that differ in seed and fold alone. ``label`` says what distinguishes them from other rows; ``left_out`` are
    runs of seeds that :meth:`of_whole_seeds` left out.
    """

    settings: dict[str, object]
    runs: list[Run]
    label: str = ""
    absent: list[Absent] = field(default_factory=list)
    left_out: list[Run] = field(default_factory=list)

    @cached_property
    def seeds(self) -> dict[int, dict[int | None, list[Run]]]:
        """The runs of each seed and fold: more than one is a rerun."""
        seeds: dict = defaultdict(lambda: defaultdict(list))
        for run in self.runs:
            seeds[run.seed][run.split.fold].append(run)
        return {seed: dict(seeds[seed]) for seed in sorted(seeds)}

    @cached_property
    def accuracy(self) -> Spread:
        """Deployed validation accuracy over seeds; a seed's folds make one result, its reruns their mean."""
        return statistics.spread(self._by_seed(lambda run: run.accuracy))

    @cached_property
    def balanced_accuracy(self) -> float | None:
        """Of the deployed networks: the mean recall of the classes."""
        return metrics.balanced_accuracy(self.photos.confusion()) if self.photos else None

    @cached_property
    def macro_f1(self) -> float | None:
        return metrics.macro_f1(self.photos.confusion()) if self.photos else None

    @cached_property
    def calibration_error(self) -> tuple[float, float | None, float | None] | None:
        """Expected calibration errors, means over runs: of what is deployed before and after scaling, of float after.

        None where a run has none on record, or another has no temperature, or no float network beside its int8 one.
        """
        made = [(run.result.deployed_calibration, run.result.calibration.get("float")) for run in self.runs]
        if any(deployed is None for deployed, _ in made):
            return None
        int8 = self.runs[0].result.int8 is not None
        float_after = [beside.ece_after if beside and int8 else None for _, beside in made]
        return (
            float(np.mean([deployed.ece_before for deployed, _ in made if deployed])),
            _mean([deployed.ece_after for deployed, _ in made if deployed]),
            _mean(float_after),
        )

    @cached_property
    def trained_accuracy(self) -> float:
        """Of the network as it trained: float, or fake-quantized under qat."""
        return float(np.mean(self._by_seed(lambda run: run.result.best.val_acc)))

    @property
    def test_accuracy(self) -> float | None:
        scores = [score for run in self.runs if (score := run.test_accuracy) is not None]
        return float(np.mean(scores)) if len(scores) == len(self.runs) else None

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
    def agreed_epoch(self) -> int:
        """The median of the best epochs of its runs, from 0."""
        return median_low([run.result.best.epoch for run in self.runs])

    @cached_property
    def flattery(self) -> float:
        """How much of the accuracy comes of choosing each fold's epoch on the very photos of that fold.

        That is the mean, over folds, of what the best epoch scores there above the epoch that the folds agree on: R. J.
        Tibshirani and R. Tibshirani, "A bias correction for the minimum error rate in cross-validation", Annals of
        Applied Statistics 3, 2009. By the networks as they trained; 0 without folds, where nothing tells, and never
        less: epochs chosen by another measure (``monitor=val/loss``) may lie below.
        """
        if not any(run.split.folds for run in self.runs):
            return 0.0
        above = [run.result.best.val_acc - _at(run, self.agreed_epoch) for run in self.runs]
        return max(0.0, float(np.average(above, weights=[run.photos for run in self.runs])))

    @cached_property
    def between(self) -> float:
        """The variance of accuracy from one training to the next, beyond what the photos explain; 0 without folds.

        Of the networks as they trained, in the epoch that the folds agree on.
        """
        if not any(run.split.folds for run in self.runs):
            return 0.0
        scores = [_at(run, self.agreed_epoch) for run in self.runs]
        return bounds.between(scores, [run.photos for run in self.runs])

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
    def fit_seconds(self) -> Spread | None:
        return _spread(run.result.seconds.fit for run in self.runs)

    @cached_property
    def photos(self) -> Photos | None:
        """None where a run of the row keeps no predictions."""
        if not all(run.predictions for run in self.runs):
            return None
        reruns = math.lcm(*(len(runs) for folds in self.seeds.values() for runs in folds.values()))
        right: Counter[str] = Counter()
        seen: Counter[str] = Counter()
        labels: dict[str, str] = {}
        guesses: dict[str, Counter[str]] = defaultdict(Counter)
        groups: dict[str, str] = {}
        for folds in self.seeds.values():
            for runs in folds.values():
                for run in runs:
                    weight = reruns // len(runs)
                    for guess in run.predictions:
                        right[guess.photo] += weight * (guess.label == guess.guess)
                        seen[guess.photo] += weight
                        labels[guess.photo] = guess.label
                        guesses[guess.photo][guess.guess] += 1
                        if guess.group is not None:
                            groups[guess.photo] = guess.group
        names = sorted(labels)
        scale = math.lcm(*set(seen.values()))
        shares = np.array([right[name] * (scale // seen[name]) for name in names])
        return Photos(
            names,
            [labels[name] for name in names],
            shares,
            scale,
            [guesses[name] for name in names],
            [groups.get(name, name) for name in names] if groups else None,
        )

    @cached_property
    def design(self) -> float:
        """How many times the variance of its accuracy is that of independent photos, by their groups."""
        if not self.photos or not self.photos.groups:
            return 1.0
        return bounds.design(self.photos.right, self.photos.groups)

    @cached_property
    def incomplete(self) -> dict[int, str]:
        """The seeds that lack folds, and how many they have, in words."""
        found = {}
        for seed, folds in self.seeds.items():
            expected = max(run.split.folds or 0 for runs in folds.values() for run in runs)
            if len(folds) < expected and None not in folds:  # which has trained on all of them
                found[seed] = f"{len(folds)} of {expected} folds"
        return found

    def of_whole_seeds(self) -> "Row":
        """The same without seeds that lack folds; itself where no seed is whole."""
        whole = [run for run in self.runs if run.seed not in self.incomplete]
        rest = [run for run in self.runs if run.seed in self.incomplete]
        return replace(self, runs=whole, left_out=rest) if whole and rest else self

    @cached_property
    def notes(self) -> list[str]:
        """What a reader must know of this row, in a word or two; a table's notes explain the words."""
        notes = []
        duplicates = sum(len(runs) - 1 for folds in self.seeds.values() for runs in folds.values())
        if duplicates:
            notes.append(f"{duplicates} duplicate{'s' * (duplicates > 1)}")
        notes += [f"seed {seed}: {found}" for seed, found in self.incomplete.items()]
        if not self.photos:
            notes.append("no predictions")
        notes += self.lost
        return notes

    @property
    def lost(self) -> list[str]:
        """How many of its runs failed, or came to no end."""
        return [f"{count} {status}" for status, count in sorted(Counter(run.status for run in self.absent).items())]


def paired(first: Photos, second: Photos) -> tuple[np.ndarray, int]:
    """Of each photo that both were scored on, how much more often the first has it right, in parts of a scale.

    Whole numbers (photos), and the scale, which is as many seeds as both have in common measure.
    """
    if first.names == second.names:
        left, right = first.right, second.right
    else:
        both = sorted(set(first.names) & set(second.names))
        left, right = (
            photos.right[[position[name] for name in both]]
            for photos in (first, second)
            for position in [{name: i for i, name in enumerate(photos.names)}]
        )
    scale = math.lcm(first.scale, second.scale)
    return left * (scale // first.scale) - right * (scale // second.scale), scale


def _at(run: Run, epoch: int) -> float:
    """The validation accuracy of an epoch, the best one's where there is no such curve."""
    epochs, values = run.result.curves.get("val/acc", ([], []))
    return values[max(0, sum(number <= epoch for number in epochs) - 1)] if values else run.result.best.val_acc


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _spread(values: Iterable[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return statistics.spread(known) if known else None
