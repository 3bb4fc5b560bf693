"""What a few runs on a few photos can and cannot tell: spread over seeds, intervals over photos, paired tests.

Two sources of chance are kept apart. Another seed would have trained another network: :class:`Spread`. Other photos
would have been classified otherwise: :func:`wilson` and :func:`paired`. Photos are the independent units of the
second; the same photos seen again by another seed's network are not more photos.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.05  # a smaller adjusted p-value is called more than noise


@dataclass(frozen=True)
class Spread:
    """Mean, sample standard deviation (None of one value) and range of ``count`` values, in their unit."""

    mean: float
    deviation: float | None
    low: float
    high: float
    count: int


def spread(values: Sequence[float]) -> Spread:
    """The spread of one value a seed; ``values`` must not be empty."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), deviation, min(values), max(values), len(values))


def wilson(accuracy: float, photos: int) -> tuple[float, float]:
    """Wilson's 95 % interval of an accuracy (a fraction) on so many distinct photos.

    An accuracy that is a mean over seeds counts as round(accuracy * photos) right ones: the seeds were scored on the
    same photos, so they don't multiply the sample.
    """
    interval = stats.binomtest(round(accuracy * photos), photos).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Growth:
    """What more training pictures are expected to add to accuracy, and its 95 % interval."""

    gain: float
    low: float
    high: float


def growth(fewer: np.ndarray, most: np.ndarray, few: float, many: float, more: float) -> Growth:
    """The gain from ``many`` to ``more`` training pictures, by what going from ``few`` to ``many`` did.

    ``fewer`` and ``most``, (photos), say how right each photo was, 0 to 1, with ``few`` and with ``many``. Error is
    taken for a power of their number, as it is over wide ranges (Hestness et al., "Deep Learning Scaling is
    Predictable, Empirically", 2017), through these two alone: earlier steps tell less of the next one (Viering and
    Loog, "The Shape of Learning Curves: a Review", 2023). The interval is as wide as that of the step itself, scaled:
    Bonett and Price's for paired proportions (2012), which adds a photo to either side.
    `benchmarks/learning_curve.py` counts how often it holds. None of it is beyond what accuracy can do.
    """
    difference, count = most - fewer, len(most) + 2
    mean = difference.sum() / count
    deviation = np.sqrt((((difference**2).sum() + 2) / count - mean**2) / count)
    steps = np.log(more / many) / np.log(many / few)
    errors = [(len(right) - right.sum() + 0.5) / (len(right) + 1) for right in (fewer, most)]
    gain = float(errors[1] * (1 - (errors[1] / errors[0]) ** steps))
    reach = float(stats.norm.ppf(0.975) * steps * deviation)
    least, largest = -float(most.mean()), 1 - float(most.mean())
    return Growth(*(min(largest, max(least, share)) for share in (gain, gain - reach, gain + reach)))


def mcnemar(first_only: int, second_only: int) -> float:
    """McNemar's exact two-sided p-value, of the photos that only one of two networks has right."""
    discordant = first_only + second_only
    return float(stats.binomtest(first_only, discordant).pvalue) if discordant else 1.0


def paired(differences: np.ndarray) -> float:
    """The exact two-sided p-value of paired differences of accuracy, one whole number a photo.

    A photo's difference is how much more often one row's networks have it right than the other's, summed over seeds.
    Under the null hypothesis each photo's difference could as well have had the other sign (Fisher's and Pitman's
    paired permutation test; P. Good, "Permutation, Parametric, and Bootstrap Tests of Hypotheses", 3rd ed. 2005,
    ch. 3). All 2**photos signs are counted, by adding one photo at a time to the distribution of the sum.

    With one seed a row this is McNemar's exact test. With more it was preferred to pooling the seeds' discordant
    pairs, which would count each photo once a seed as if it were another photo, and to a majority vote, which scores
    an ensemble that nobody deploys: the mean over seeds is the very difference that the table shows.
    """
    discordant = differences[differences != 0]
    if not len(discordant):
        return 1.0
    discordant = discordant // np.gcd.reduce(discordant)
    sizes = np.abs(discordant)
    if sizes.max() == 1:
        return mcnemar(int((discordant > 0).sum()), int((discordant < 0).sum()))
    positive = np.ones(1)  # the distribution of the sum of those with a plus
    for size in sizes:
        positive = (np.pad(positive, (0, size)) + np.pad(positive, (size, 0))) / 2
    sums = 2 * np.arange(len(positive)) - sizes.sum()
    return min(1.0, float(positive[np.abs(sums) >= abs(discordant.sum())].sum()))


def holm(p_values: Sequence[float], family: int | None = None) -> list[float]:
    """Holm's adjusted p-values, in the order given (S. Holm, Scandinavian Journal of Statistics 6, 1979).

    ``family`` is how many hypotheses there are, where more than were tested: the untested count as p = 1.
    scipy's ``false_discovery_control`` bounds another error, the share of false claims.
    """
    family = family or len(p_values)
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.maximum.accumulate([p_values[i] * (family - rank) for rank, i in enumerate(order)])
    return np.minimum(adjusted, 1.0).tolist()
