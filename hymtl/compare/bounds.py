"""How far accuracies may be from what a few photos show: bounds on paired differences, and on photos yet to come.

Folds share training photos, so their networks err alike, and scores pooled over folds vary more than as many
independent photos would. Nadeau and Bengio ("Inference for the Generalization Error", Machine Learning 52, 2003) add
to the variance of a mean over J splits, S²/J, the share S² * test/train that the common training photos cause. Of K
folds, where test/train is 1/(K - 1), that multiplies the variance by 1 + K/(K - 1): 2.25 for five folds. It is
applied here to the variance over photos, of which there are more than of folds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, stats


def inflation(folds: int | None) -> float:
    """What the variance over photos is multiplied by, as the module says; 1 without folds."""
    return 1.0 if folds is None else 1 + folds / (folds - 1)


def design(values: Sequence[float] | np.ndarray, groups: Sequence[str]) -> float:
    """How many times the variance of the mean of ``values`` is that of independent photos, as those of one of their
    ``groups`` err alike: the design effect (L. Kish, "Survey Sampling", 1965, 5.4), by the sums over whole groups;
    never less than 1. Values that do not vary say nothing of it: then a group counts as one photo.
    """
    values, places = np.asarray(values, float), np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(places)
    off = values - values.mean()
    alone = (off**2).sum()
    if not alone or len(sizes) < 2:
        return float((sizes**2).sum() / sizes.sum())
    together = (np.bincount(places, off) ** 2).sum() * len(sizes) / (len(sizes) - 1)
    return max(1.0, float(together / alone))


@dataclass(frozen=True)
class Paired:
    """Two networks on the same ``photos``: ``gains`` that only the first has right, ``losses`` only the second.

    Means over seeds make fractions of them. ``inflated`` is :func:`inflation`'s; ``less`` is taken off the difference,
    as what flattered the first more than the second.
    """

    gains: float
    losses: float
    photos: int
    inflated: float = 1.0
    less: float = 0.0

    @property
    def difference(self) -> float:
        return (self.gains - self.losses) / self.photos - self.less

    @property
    def variance(self) -> float:
        """Of one photo's difference; one more that differs, as few photos without any don't say that none will."""
        return (self.gains + self.losses + 1) / (self.photos + 2)

    def of(self, times: float) -> "Paired":
        """As many times the photos, that differ as often."""
        return replace(
            self, gains=times * self.gains, losses=times * self.losses, photos=math.ceil(times * self.photos)
        )

    @property
    def error(self) -> float:
        """The standard error of the difference."""
        return math.sqrt(self.inflated * self.variance / self.photos)

    def above(self, level: float) -> float:
        """What the difference on all photos of this kind exceeds with a probability of ``level`` at most.

        T. Tango's score interval for paired proportions ("Equivalence test and confidence interval for the difference
        in proportions for the paired-sample design", Statistics in Medicine 17, 1998), which keeps its word with few
        photos, and with none that differ.
        """
        wanted = stats.norm.isf(level) * math.sqrt(self.inflated)
        shown = (self.gains - self.losses) / self.photos

        def excess(difference: float) -> float:
            return _score(self.gains, self.losses, self.photos, difference) + wanted

        highest = 1 - 1e-9
        found = highest if shown >= highest or excess(highest) > 0 else optimize.brentq(excess, shown, highest)
        return min(1.0, max(-1.0, found - self.less))

    def below(self, level: float) -> float:
        """What it falls below with that probability at most."""
        return -Paired(self.losses, self.gains, self.photos, self.inflated, -self.less).above(level)

    def after(self, photos: int, level: float) -> float:
        """What the difference shown will exceed with that probability at most, once there are so many ``photos``.

        The part that is yet to come varies around the part that was seen as both vary around the truth (stochastic
        curtailment: Lan, Simon and Halperin, "Stochastically curtailed tests in long-term clinical trials",
        Sequential Analysis 1, 1982).
        """
        still = max(0, photos - self.photos)
        spread = math.sqrt(self.inflated * self.variance * still / (photos * self.photos))
        return self.difference + float(stats.norm.isf(level)) * spread


def _score(gains: float, losses: float, photos: int, difference: float) -> float:
    """How many standard errors the difference shown lies above a supposed one, under that one's own likeliest error."""
    if difference < 0:
        return -_score(losses, gains, photos, -difference)
    first = 2 * photos
    second = (2 * photos - gains + losses) * difference - gains - losses
    third = -losses * difference * (1 - difference)
    likeliest = (math.sqrt(max(0.0, second**2 - 4 * first * third)) - second) / (2 * first)
    variance = photos * (2 * likeliest + difference * (1 - difference))
    return (gains - losses - photos * difference) / math.sqrt(variance) if variance > 0 else 0.0


def between(accuracies: Sequence[float], photos: Sequence[int]) -> float:
    """The variance of accuracy from one network to the next, beyond what their numbers of ``photos`` explain.

    The moment estimate of R. DerSimonian and N. Laird ("Meta-analysis in clinical trials", Controlled Clinical Trials
    7, 1986); 0 of a single network, and unless Cochran's Q, on which it rests, says at 5 % that it is more than chance.
    """
    mean = np.average(accuracies, weights=photos)
    if len(photos) < 2 or not 0 < mean < 1:
        return 0.0
    weights = np.array(photos) / (mean * (1 - mean))
    excess = (weights * (np.array(accuracies) - mean) ** 2).sum()
    free = len(photos) - 1
    if stats.chi2.sf(excess, free) > 0.05:
        return 0.0
    return float((excess - free) / (weights.sum() - (weights**2).sum() / weights.sum()))


def promised(
    accuracy: float, photos: int, coming: int, folds: int | None = None, between: float = 0.0, design: float = 1.0
) -> tuple[float, float]:
    """The 95 % interval of a network's accuracy on ``coming`` photos, by that on ``photos`` of the same kind.

    The beta-binomial distribution that Jeffreys' prior gives (Gelman et al., "Bayesian Data Analysis", 3rd ed. 2013,
    ch. 2), of as many photos as would vary as much as those do that ``folds`` share (:func:`inflation`), and as
    networks do ``between`` themselves: that of one more network, seen on few, as J. P. T. Higgins, S. G. Thompson and
    D. J. Spiegelhalter predict it ("A re-evaluation of random-effects meta-analysis", Journal of the Royal Statistical
    Society A 172, 2009). Where photos come in groups, both count for as many fewer as ``design`` says.
    """
    varies = inflation(folds) * design / photos
    if folds and between:
        few = stats.t.isf(0.025, folds - 1) / stats.norm.isf(0.025)
        varies += between * (1 + 1 / folds) * few**2 / max(accuracy * (1 - accuracy), 1 / photos)
    coming = max(1, round(coming / design))
    spread = stats.betabinom(coming, accuracy / varies + 0.5, (1 - accuracy) / varies + 0.5)
    return float(spread.ppf(0.025)) / coming, float(spread.ppf(0.975)) / coming
