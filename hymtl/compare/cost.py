"""What a network costs to run and to make, and which of several is the cheapest.

Cheap means, in this order: fast, where `hymtl benchmark` tells times apart; small, by more than a hundredth; quick to
train. What one measure does not tell apart is left to the next.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hymtl.records.benchmark import Time

SAME_SIZE = 0.01  # share of its bytes by which a network is no smaller than another


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
    """The place of the cheapest, of equals the first."""
    costs = comparable(costs)
    left = list(range(len(costs)))
    if fastest := min((cost.time for cost in costs if cost.time), key=lambda time: time.median, default=None):
        left = [place for place in left if (time := costs[place].time) and not time.differs(fastest)]
    small = min(costs[place].bytes for place in left) * (1 + SAME_SIZE)
    return min((place for place in left if costs[place].bytes <= small), key=lambda place: _effort(costs[place]))


def _effort(cost: Cost) -> tuple[float, int]:
    return (math.inf if cost.seconds is None else cost.seconds), cost.bytes


def cheaper(one: Cost, other: Cost) -> bool:
    """Whether one of two is the cheaper."""
    return cheapest([other, one]) == 1
