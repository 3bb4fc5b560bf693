"""The decision: the cheapest row that is not worse than the best by more than a margin, and how sure that is.

Of rows that few photos cannot tell apart, the cheapest within the margin and one standard error of the best is taken:
the one-standard-error rule of Breiman, Friedman, Olshen and Stone, "Classification and Regression Trees" (1984), 3.4.3.
Whether that is known or only likely is said with it: known is what a bound at 95 % shows, for all pairs of rows
together (Bonferroni), as the best was found by looking at all of them.

What cheap means, :mod:`hymtl.compare.cost` says.
"""

import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

from hymtl.compare import bounds
from hymtl.compare.bounds import Paired
from hymtl.compare.cost import Cost, cheaper, cheapest, comparable
from hymtl.compare.rows import Row, paired
from hymtl.compare.sentences import sentences, varying
from hymtl.compare.tables import Table
from hymtl.errors import HymtlError
from hymtl.records.benchmark import Time
from hymtl.records.choice import Candidate, Choice, Gap, Limits

FAR = 100  # times the photos there are: nobody finds more
ERROR = 0.05  # of a claim that is wrong, all claims of a decision together


def decide(table: Table, limits: Limits, obstacles: Mapping[str, str] | None = None) -> Choice:
    """Choose among the rows of a table; ``obstacles`` are reasons against some, by strategy.

    Raises:
        HymtlError: if no row is within the limits, or nothing was timed for ``max_ms``.
    """
    obstacles = obstacles or {}
    rows, reasons = _compared(table, limits, obstacles)
    if limits.max_ms is not None and not any(map(_time, rows)):
        folders = shlex.join(str(row.runs[0].folder) for row in rows)
        raise HymtlError(f"max_ms={limits.max_ms:g}: nothing was timed yet. First: hymtl benchmark {folders}")
    able = [row for row in rows if reasons[row.label] is None]
    if not able:
        raise HymtlError(_nobody(reasons))
    best = max(able, key=lambda row: (round(corrected(row), 6), -row.size))  # those on record are float32
    costs = comparable(list(map(cost, able)))
    close = [place for place, row in enumerate(able) if row is best or near(difference(best, row), limits.margin)]
    close.sort(key=lambda place: (-round(corrected(able[place]), 6), costs[place].seconds or 0.0))
    chosen = able[close[cheapest([costs[place] for place in close])]]
    if round(corrected(chosen), 6) == round(corrected(best), 6):
        best = chosen
    level = ERROR / max(1, math.comb(len(rows), 2))
    others = [difference(row, chosen) for row in able if row is not chosen]
    short = max((pair.above(level) for pair in others), default=0.0)
    folds = chosen.runs[0].split.folds
    made = Choice(
        data=table.title,
        limits=limits,
        candidates=[_candidate(row, chosen, reasons[row.label], level) for row in sorted(rows, key=_rank)],
        chosen=chosen.label,
        best=best.label,
        sure=short <= limits.margin if others else None,
        short=max(0.0, short),
        needed=_needed(others, limits.margin, level) if short > limits.margin else None,
        commonest=_commonest(chosen),
        copies=table.copies,
        smaller=len(table.rows) - len(rows),
        absent={name: reason for name, reason in obstacles.items() if name not in map(strategy, table.rows)},
        folds=folds,
        epochs=chosen.agreed_epoch + 1 if folds else None,
    )
    made.sentences = sentences(made)
    return made


def _compared(table: Table, limits: Limits, obstacles: Mapping[str, str]) -> tuple[list[Row], dict[str, str | None]]:
    """The rows to choose from, and what stands against each, by its label."""
    rows = [row.of_whole_seeds() for row in table.rows]
    against = [obstacles.get(strategy(row)) or obstacle(row, limits) for row in rows]
    smaller = _smaller(table, against)
    # What is left of a learning curve has no others to be told from by how many pictures it had.
    names = {curve.places[-1]: curve.label for curve in table.learning_curves if smaller.issuperset(curve.places[:-1])}
    left = [place for place in range(len(rows)) if place not in smaller]
    named = [replace(rows[place], label=names.get(place, rows[place].label)) for place in left]
    return named, {row.label: against[place] for row, place in zip(named, left, strict=True)}


def _smaller(table: Table, against: Sequence[str | None]) -> set[int]:
    """Places of rows that are out, as one that had more pictures, and differs in nothing else, can be chosen."""
    found: set[int] = set()
    for curve in table.learning_curves:
        able = [number for number, place in enumerate(curve.places) if against[place] is None]
        found.update(curve.places[: able[-1]] if able else [])
    return found


def strategy(row: Row) -> str:
    """The strategy that a row is of."""
    return row.runs[0].result.strategy


def corrected(row: Row) -> float:
    """Accuracy, less what choosing epochs on the same photos added to it."""
    return row.accuracy.mean - row.flattery


def difference(first: Row, second: Row) -> Paired:
    """The accuracy of the first less that of the second, photo by photo where both were scored."""
    assert first.photos and second.photos
    differences, scale = paired(first.photos, second.photos)
    groups = dict(zip(second.photos.names, second.photos.groups or [], strict=False))
    both = [groups[name] for name in first.photos.names if name in groups]
    return Paired(
        gains=float(differences[differences > 0].sum()) / scale,
        losses=-float(differences[differences < 0].sum()) / scale,
        photos=len(differences),
        inflated=bounds.inflation(first.runs[0].split.folds) * (bounds.design(differences, both) if both else 1.0),
        less=first.flattery - second.flattery,
    )


def beyond(row: Row, limits: Limits) -> str | None:
    """Which limit a row does not keep; None where there is none."""
    time = _time(row)
    if limits.max_mb is not None and row.size > limits.max_mb * 1e6:
        return f"it weighs {row.size / 1e6:.1f} MB, more than max_mb={limits.max_mb:g}"
    if limits.max_ms is not None and time and time.median > limits.max_ms / 1e3:
        unsure = "" if time.low > limits.max_ms / 1e3 else f" ({varying(time)}: on a quiet machine it may keep it)"
        return f"it takes {time.median * 1e3:.1f} ms a photo, more than max_ms={limits.max_ms:g}{unsure}"
    return None


def far_beyond(row: Row, limits: Limits) -> str | None:
    """The same, of a row that no other timing would bring back: what is cut short for it is not looked at again."""
    time = _time(row)
    near = limits.max_ms is not None and time and time.low <= limits.max_ms / 1e3
    return beyond(row, limits.model_copy(update={"max_ms": None}) if near else limits)


def obstacle(row: Row, limits: Limits) -> str | None:
    """Why a row cannot be chosen, whatever its accuracy; None where nothing stands against it."""
    if reason := beyond(row, limits):
        return reason
    missing = [note for note in row.notes if note.endswith("folds")]
    if missing:
        return f"folds are missing ({'; '.join(missing)})"
    if not row.photos:
        return "it has no predictions.csv to be compared by"
    if limits.max_ms is not None and _time(row) is None:
        return f"it was not timed, so whether it keeps max_ms={limits.max_ms:g} is not known: hymtl benchmark times it"
    return None


def cost(row: Row) -> Cost:
    """What a row's networks cost; of training the median, as the first folds may compute features for the others."""
    seconds = [run.result.seconds.fit for run in row.runs if run.result.seconds.fit is not None]
    return Cost(_time(row), row.size, median(seconds) if seconds else None)


def hopeless(row: Row, rival: Row, limits: Limits, looks: int) -> str | None:
    """Why a row with folds to come cannot win any more against a ``rival`` with all of its folds; None where it can.

    By a bound on the difference that all photos will show: wrong, over all ``looks``, in one race of twenty at most in
    which the row would have won. What may still prove to be the cheaper must fall behind, what costs more must get
    ahead by as much, and what costs the same must get ahead.
    """
    # What choosing epochs flatters, few folds do not tell: it is held against a row once all of them are there.
    seen = replace(difference(row, rival), less=-rival.flattery)
    reach = seen.after(rival.photo_count, ERROR / looks)
    needed = limits.margin + seen.error * math.sqrt(seen.photos / rival.photo_count)
    least = -needed if _may_be_cheaper(row, rival) else needed if cheaper(cost(rival), cost(row)) else 0.0
    if reach > least:
        return None
    if not least:
        return f"it can hardly end ahead of {rival.label}, which costs as much"
    if least < 0:
        return f"it can hardly end less than {100 * needed:.1f} points behind {rival.label}"
    return f"it can hardly end {100 * needed:.1f} points ahead of {rival.label}, which costs less"


def _may_be_cheaper(row: Row, rival: Row) -> bool:
    """Nobody knows yet which of an int8 and a float network this machine runs faster, until both are timed."""
    kinds = {bool(one.runs[0].result.int8) for one in (row, rival)}
    timed = _time(row) and _time(rival)
    return cheaper(cost(row), cost(rival)) or (len(kinds) > 1 and not timed)


def near(behind: Paired, margin: float) -> bool:
    """Whether what lacks so much of the most accurate is within the margin and one standard error of it."""
    return behind.difference <= margin + behind.error


def _rank(row: Row) -> float:
    return -corrected(row)


def _time(row: Row) -> Time | None:
    return next((time for run in [*row.runs, *row.left_out] if run.benchmark and (time := run.benchmark.latency)), None)


def _candidate(row: Row, chosen: Row, reason: str | None, level: float) -> Candidate:
    gap = None
    if row is not chosen and row.photos and chosen.photos and set(row.photos.names) & set(chosen.photos.names):
        pair = difference(row, chosen)
        gap = Gap(difference=pair.difference, low=pair.below(level), high=pair.above(level))
    costs = cost(row)
    return Candidate(
        label=row.label,
        strategy=strategy(row),
        accuracy=min(1.0, max(0.0, corrected(row))),
        flattery=row.flattery,
        between=row.between,
        design=row.design,
        photos=row.photo_count,
        bytes=costs.bytes,
        ms=costs.time,
        seconds=costs.seconds,
        obstacle=reason,
        uncounted=_uncounted(row),
        gap=gap,
    )


def _uncounted(row: Row) -> list[str]:
    """Runs that the decision goes without, though others like them are there."""
    seeds = Counter(run.seed for run in row.left_out)
    folds = row.runs[0].split.folds
    return [*(f"seed {seed} ({count} of {folds} folds)" for seed, count in sorted(seeds.items())), *row.lost]


def _needed(others: Sequence[Paired], margin: float, level: float) -> int | None:
    """About how many photos would tell, were the differences as they are; None where no number in reach would."""

    def tells(times: float) -> bool:
        return all(pair.of(times).above(level) <= margin for pair in others)

    low, high = 1.0, float(FAR)
    if not tells(high):
        return None
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if tells(middle) else (middle, high)
    return math.ceil(high * max(pair.photos for pair in others))


def _commonest(row: Row) -> tuple[str, float]:
    """The class that most photos of a row show, and their share."""
    assert row.photos
    (name, count), *_ = Counter(row.photos.labels).most_common(1)
    return name, count / len(row.photos.labels)


def _nobody(reasons: Mapping[str, str | None]) -> str:
    every = "; ".join(f"{label}: {reason}" for label, reason in reasons.items())
    return f"None of {len(reasons)} can be chosen. {every}."
