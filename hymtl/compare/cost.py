"""What a network costs to run and to make, and which of several is the cheapest.

Cheap means, in this order: fast, where `hymtl benchmark` tells times apart; small, by more than a hundredth; quick to
train, by more than half and ten seconds, as who of several trains first also computes what the others find. What one
measure does not tell apart is left to the next, and in the end to accuracy.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hymtl.records.benchmark import Time

SAME_SIZE = 0.01  # share of its bytes by which a network is no smaller than another
SAME_EFFORT = 2.0  # times the seconds of training for which none is the quicker
SAME_SECONDS = 10.0  # nor for so many more


@dataclass(frozen=True)
class Cost:
    """``time`` of one picture, ``bytes`` of the weights, ``seconds`` of training, of one fold where there are folds.

    None: not known.
    """

    time: Time | None
    bytes: int
    seconds: float | None


def comparable(costs: Sequence[Cost]) -> list[Cost]:
    """The same, without times unless all have one: what was not timed may be the fastest."""
    return list(costs) if all(cost.time for cost in costs) else [replace(cost, time=None) for cost in costs]


def cheapest(costs: Sequence[Cost]) -> int:
    """The place of the cheapest, of equals the first: who asks brings the most accurate first."""
    costs = comparable(costs)
    left = list(range(len(costs)))
    if fastest := min((cost.time for cost in costs if cost.time), key=lambda time: time.median, default=None):
        left = [place for place in left if (time := costs[place].time) and not time.differs(fastest)]
    small = min(costs[place].bytes for place in left) * (1 + SAME_SIZE)
    left = [place for place in left if costs[place].bytes <= small]
    known = {place: seconds for place in left if (seconds := costs[place].seconds) is not None}
    if not known:
        return left[0]
    least = min(known.values())
    return next(place for place, took in known.items() if not quicker(least, took))


def quicker(one: float, other: float) -> bool:
    """Whether a training of so many seconds counts as quicker than another."""
    return other > max(one * SAME_EFFORT, one + SAME_SECONDS)


def cheaper(one: Cost, other: Cost) -> bool:
    """Whether one of two is the cheaper."""
    return cheapest([other, one]) == 1
