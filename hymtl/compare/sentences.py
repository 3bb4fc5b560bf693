"""A decision in plain sentences: what was chosen, why, what others would have cost and brought, and how sure that is.

Accuracies are shown as fractions, differences in points, of which a hundred make an accuracy of 1.
"""

import math
from collections.abc import Iterator

from hymtl.compare import bounds
from hymtl.compare.cost import Cost, cheaper, comparable, quicker
from hymtl.compare.statistics import wilson
from hymtl.records.benchmark import Time
from hymtl.records.choice import Candidate, Choice, Gap, Limits, Part
from hymtl.records.summary import COPIES, across


def sentences(choice: Choice) -> list[str]:
    """All of them, the decision first."""
    chosen = choice.of(choice.chosen)
    said = [f"Ship {chosen.label}: {_scored(chosen, choice)}, {_cost(chosen)}.", _why(choice), _sure(choice)]
    said += [f"{across(choice.copies)}, so accuracies here flatter. {COPIES}"] if choice.copies else []
    said += [*_no_more_than_guessed(choice, chosen), *_unsteady(chosen), *_may_be_late(chosen, choice.limits)]
    said += [_runner_up(candidate, chosen) for candidate in choice.candidates if _competes(candidate, chosen)]
    said += [_left_out(candidate) for candidate in choice.candidates if candidate.obstacle]
    said += list(_smaller(choice.smaller))
    said += [_not_counted(candidate) for candidate in choice.candidates if candidate.uncounted]
    said += [f"{name} has no result: {reason.rstrip('.')}." for name, reason in choice.absent.items()]
    return [*said, *_last(choice, chosen)]


def _scored(chosen: Candidate, choice: Choice) -> str:
    where = "out of fold on" if choice.folds else "on"
    return f"accuracy {chosen.accuracy:.4f} {where} {chosen.photos} photos{_taken_off(chosen)}"


def _taken_off(candidate: Candidate) -> str:
    """Why an accuracy is below the one that a table shows."""
    if not candidate.flattery:
        return ""
    return f", {_points(candidate.flattery)} taken off for choosing epochs on the same photos"


def _cost(candidate: Candidate) -> str:
    time = f"{candidate.ms.median * 1e3:.1f} ms a photo, " if candidate.ms else ""
    return f"{time}{candidate.bytes / 1e6:.1f} MB"


def _why(choice: Choice) -> str:
    able = [candidate for candidate in choice.candidates if candidate.obstacle is None]
    if len(able) == 1:
        return "It is the only one that can be chosen."
    allowed = f"the margin of {_points(choice.limits.margin)} and one standard error"
    if choice.chosen == choice.best:
        accuracies = [round(candidate.accuracy, 6) for candidate in able]
        tied = accuracies.count(round(choice.of(choice.chosen).accuracy, 6)) > 1
        best = "No other is more accurate" if tied else "It is the most accurate one"
        costs = comparable([Cost(candidate.ms, candidate.bytes, candidate.seconds) for candidate in able])
        chosen = costs[[candidate.label for candidate in able].index(choice.chosen)]
        if not any(cheaper(cost, chosen) for cost in costs):
            return f"{best}, and none of the others costs less."
        return f"{best}, and what costs less lacks more than {allowed}."
    most = choice.of(choice.best)
    return (
        f"It is the cheapest that lacks no more than {allowed} of the most accurate, {most.label} "
        f"({most.accuracy:.4f}{_taken_off(most)})."
    )


def _sure(choice: Choice) -> str:
    able = [candidate for candidate in choice.candidates if candidate.obstacle is None]
    percent = f"{choice.confidence:.0%}"
    if len(choice.candidates) == 1:
        return "How others would have done is not known."
    if len(able) == 1:
        if len(choice.candidates) == 2:
            return "The other cannot be chosen; how it compares is said below."
        return "The others cannot be chosen; how they compare is said below."
    rivals = [candidate.label for candidate in able if candidate.label != choice.chosen]
    if len(rivals) == 1:
        one, it, none_is = rivals[0], "it", f"{rivals[0]} is not"
    else:
        those = "that can be chosen " if len(able) < len(choice.candidates) else ""
        one, it, none_is = "one of the others", "one of them", f"none of the others {those}is"
    if choice.sure and choice.short == 0:
        return f"Sure at {percent}: {none_is} better."
    if choice.sure:
        return f"Sure at {percent}: {none_is} better by more than {_points(choice.short)}."
    photos = choice.of(choice.chosen).photos
    more = ""
    if choice.needed:
        more = f" About {_rounded(choice.needed)} photos would tell, if the differences stayed what they are."
    return (
        f"Cannot tell: {photos} photos leave open whether {one} is better by more than the margin. At {percent}, {it} "
        f"may be better by up to {_points(choice.short)}.{more}"
    )


def _no_more_than_guessed(choice: Choice, chosen: Candidate) -> Iterator[str]:
    """Where the interval of the accuracy holds that of a network which says the same of every photo.

    Photos count for as many as the promise counts them for.
    """
    if choice.commonest is None:
        return
    name, share = choice.commonest
    independent = max(1, round(chosen.photos / (bounds.inflation(choice.folds) * chosen.design)))
    if wilson(chosen.accuracy, independent)[0] <= share:
        yield (
            f'Whoever always says "{name}" is right on {share:.4f} of these photos, which do not show that it has '
            "learned more than that. See its balanced accuracy; loss.class_weights=auto and data.balance=true help "
            "with rare classes, more epochs and another optim.lr where nothing was learned."
        )


def _unsteady(chosen: Candidate) -> Iterator[str]:
    if chosen.between:
        spread = _points(math.sqrt(chosen.between))
        yield (
            f"Its folds differ by more than their photos explain (standard deviation {spread}), so one more training "
            "may end as far off. Where it is the training that is unsteady, a lower optim.lr or more epochs may help."
        )


def _may_be_late(chosen: Candidate, limits: Limits) -> Iterator[str]:
    if limits.max_ms is not None and chosen.ms and chosen.ms.high > limits.max_ms / 1e3:
        late = f"It may not always keep max_ms={limits.max_ms:g}: {varying(chosen.ms)}."
        yield f"{late} hymtl benchmark tells on a quiet machine."


def varying(time: Time) -> str:
    """The spread of a time, in words."""
    return f"half of its times lie between {time.low * 1e3:.1f} and {time.high * 1e3:.1f} ms"


def _competes(candidate: Candidate, chosen: Candidate) -> bool:
    return candidate.obstacle is None and candidate.label != chosen.label


def _runner_up(candidate: Candidate, chosen: Candidate) -> str:
    gap = candidate.gap
    if gap is None:
        return f"{candidate.label} was not scored on the same photos."
    training = ""
    if candidate.seconds and chosen.seconds:
        factor = _times(candidate.seconds / chosen.seconds)
        longer = candidate.seconds > chosen.seconds and factor != _times(1)
        if longer or quicker(candidate.seconds, chosen.seconds):  # or it would be said to cost less, and not to
            training = f" and {factor} the training time"
    return (
        f"{candidate.label} would have brought {_brought(gap)}{_taken_off(candidate)}, at {_cost(candidate)}{training}."
    )


def _left_out(candidate: Candidate) -> str:
    gap = f", {_brought(candidate.gap)}" if candidate.gap else ""
    return (
        f"{candidate.label} cannot be chosen: {candidate.obstacle}; on {candidate.photos} photos it had "
        f"{candidate.accuracy:.4f}{_taken_off(candidate)}{gap}."
    )


def _smaller(count: int) -> Iterator[str]:
    rows, are = ("row", "is") if count == 1 else ("rows", "are")
    if count:
        yield (
            f"{count} {rows} that trained on a part of the pictures {are} left out, as rows that differ in nothing "
            "else had more of them to train on."
        )


def _not_counted(candidate: Candidate) -> str:
    return f"Not counted, of {candidate.label}: {', '.join(candidate.uncounted)}."


def _brought(gap: Gap) -> str:
    shown, low, high = (f"{round(value * 100, 1) + 0.0:+.1f}" for value in (gap.difference, gap.low, gap.high))
    return f"{shown} points (between {low} and {high})"


def _last(choice: Choice, chosen: Candidate) -> Iterator[str]:
    if choice.test is None:
        return
    test, (low, high) = choice.test, choice.test.promised
    trained = chosen.photos if test.trained is None else test.trained
    photos = f"{'all ' if trained == chosen.photos else ''}{trained} other photos"
    when = "by the folds alone" if test.looks else "before the test part was looked at"
    yield (
        f"Promised, {when}: an accuracy of {low:.3f} to {high:.3f} on its {test.photos} photos (95 % interval). "
        f"Trained once more on {photos}, for {epochs(choice.epochs)}, it has {test.acc:.4f}: {_kept(test)}."
    )
    if test.looks:
        yield (
            f"Most of these photos were scored before, for {'; '.join(test.looks)}: to whoever went by that score, "
            f"this one promises too much. {unseen(test.own)}"
        )
    if test.changed:
        changed = ", ".join(f"{accuracy:.4f} {name}" for name, accuracy in test.changed.items())
        yield f"On the same photos changed: {changed}."


def unseen(own: bool) -> str:
    """How to come by a test part that was not scored yet; ``own``: the folder came with one."""
    if own:
        return "Only a test part of photos that were never scored would tell."
    return "Another data.split_seed and hydra.sweep.dir set other photos aside."


def _kept(test: Part) -> str:
    right, *bounds = (round(share, 6) for share in (test.acc, *test.promised))  # the first is a float32
    return "LESS than promised" if right < bounds[0] else "MORE than promised" if right > bounds[1] else "as promised"


def _points(share: float) -> str:
    points = f"{share * 100:.1f}"
    return f"{points} point{'s' * (points != '1.0')}"


def epochs(count: int | None) -> str:
    """How many, in words."""
    return f"{count} epoch{'s' * (count != 1)}"


def _times(factor: float) -> str:
    if factor < 0.2:
        return f"1/{1 / factor:.0f} of"
    return f"{factor:.0f} times" if factor >= 10 else f"{factor:.1f} times"


def _rounded(count: int) -> str:
    """Two digits, as more would pretend to be known."""
    digits = max(0, len(str(count)) - 2)
    return f"{round(count, -digits):,}"
