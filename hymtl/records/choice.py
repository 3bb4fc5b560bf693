"""``choice.json``: which strategy a race chose, by what, and how the winner did on the test part.

Accuracies are fractions, sizes bytes, times seconds unless a name says ms.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import Field

from hymtl.errors import HymtlError, check_choice
from hymtl.records import Record
from hymtl.records.benchmark import Time

FILE = "choice.json"
FORMAT = 1


class Limits(Record):
    """``margin`` is the accuracy that what is cheaper may lack; None: no limit."""

    margin: float = 0.01
    max_ms: float | None = None
    max_mb: float | None = None


class Gap(Record):
    """The accuracy of a candidate minus the chosen one's, and one-sided bounds that hold for all pairs together."""

    difference: float
    low: float
    high: float


class Candidate(Record):
    """A row that was looked at. ``accuracy`` is that of its folds less ``flattery``, what choosing each fold's epoch on
    its own photos added. ``between`` is the variance of accuracy from one training to the next, beyond what the photos
    explain; ``design`` how many times the variance over photos is that of independent ones. ``obstacle`` says why it
    cannot be chosen, if so; ``uncounted`` are runs of it that failed, or seeds that lack folds; ``seconds`` are those
    of training one fold.
    """

    label: str
    strategy: str
    accuracy: float
    flattery: float = 0.0
    between: float = Field(0.0, ge=0)
    design: float = Field(1.0, ge=1)
    photos: int = Field(ge=0)
    bytes: int = Field(ge=0)
    ms: Time | None = None
    seconds: float | None = None
    obstacle: str | None = None
    uncounted: list[str] = []
    gap: Gap | None = None


class Part(Record):
    """The winner on the test part: ``promised`` is the 95 % interval of before it was looked at.

    ``changed`` has the accuracy on the same photos, changed; ``trained`` is how many others it trained on; ``looks``
    are other choices that were scored on these photos before, as far as this machine knows; ``own``, whether the folder
    came with this part.
    """

    photos: int = Field(ge=1)
    trained: int | None = None  # unknown to those that were written first
    acc: float = Field(ge=0, le=1)
    promised: tuple[float, float]
    changed: dict[str, float] = {}
    looks: list[str] = []
    own: bool = False


class Choice(Record):
    """``candidates`` come with the best first. ``sure``: with ``confidence`` none that can be chosen is better than the
    chosen one by more than the margin, None where there is no other; ``short`` is by how much one may be better,
    ``needed`` about how many photos would tell (None where that cannot be said, or need not). ``commonest`` is the
    class that most of the photos show, and their share: what the accuracy of whoever always says so is. ``copies`` is
    how many pictures stand on two sides of a split, ``smaller`` how many rows were left out as others like them had
    more pictures to train on. ``absent`` are strategies without any result, and why.
    ``data`` says what it was decided on; ``sentences`` say all of this in words.
    """

    format: int = FORMAT
    data: str
    limits: Limits
    confidence: float = 0.95
    candidates: list[Candidate]
    chosen: str
    best: str
    sure: bool | None
    short: float
    needed: int | None = None
    commonest: tuple[str, float] | None = None  # unknown to those that were written first
    copies: int = 0
    smaller: int = 0
    absent: dict[str, str] = {}
    folds: int | None = None
    epochs: int | None = None
    test: Part | None = None
    hours: float | None = None
    sentences: list[str] = []

    def of(self, label: str) -> Candidate:
        """The candidate of that label."""
        return next(candidate for candidate in self.candidates if candidate.label == label)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _as_number(word: str) -> float:
    """NaN, which no rule allows, where it is none."""
    try:
        return float(word)
    except ValueError:
        return math.nan


def _limit(value: Any) -> bool:
    return value is None or (_number(value) and value > 0)


_LIMIT = "null or a number above 0"
RULES: dict[str, tuple[str, Callable]] = {
    "margin": ("a number from 0 to below 1", lambda value: _number(value) and 0 <= value < 1),
    "max_ms": (_LIMIT, _limit),
    "max_mb": (_LIMIT, _limit),
    "hours": (_LIMIT, _limit),
    "strategies": (
        "a list of strategies, each once",
        lambda value: isinstance(value, list) and value and all(value) and len(set(map(str, value))) == len(value),
    ),
}


def check(settings: Mapping[str, Any]) -> None:
    """Refuse values that make no sense of those settings that are given.

    Raises:
        HymtlError: naming the setting and what it may be.
    """
    for name, (expected, holds) in RULES.items():
        if name in settings and not holds(settings[name]):
            shown = "null" if settings[name] is None else settings[name]
            raise HymtlError(f"choose.{name}={shown}: expected {expected}.")


def limits(settings: Mapping[str, Any]) -> Limits:
    """The limits among ``settings``, checked."""
    check(settings)
    return Limits(**{name: settings[name] for name in Limits.model_fields if settings.get(name) is not None})


def limits_of_words(words: list[str]) -> Limits:
    """The same of ``max_ms=20`` and the like.

    Raises:
        HymtlError: naming the word that is none, or its value.
    """
    given: dict[str, float | None] = {}
    for word in words:
        name, _, value = word.partition("=")
        check_choice("--choose", name, Limits.model_fields)
        if name in given:
            raise HymtlError(f"--choose {word}: {name} is given twice. Give it once.")
        if re.search(r",\w+=", value):
            raise HymtlError(f"--choose {word}: limits are words of their own: {' '.join(word.split(','))}.")
        expected, holds = RULES[name]
        given[name] = None if value == "null" else _as_number(value)
        if not holds(given[name]):
            raise HymtlError(f"--choose {word}: expected {expected}.")
    return limits(given)
