"""Statistics against cases worked out by hand or printed in the literature."""

from itertools import product

import numpy as np
import pytest

from hymtl.compare import statistics


def test_the_spread_of_one_seed_has_no_deviation():
    one = statistics.spread([0.9])
    assert (one.mean, one.deviation, one.low, one.high, one.count) == (0.9, None, 0.9, 0.9, 1)


def test_the_spread_is_the_sample_deviation():
    over = statistics.spread([0.90, 0.92, 0.94])
    assert over.mean == pytest.approx(0.92) and over.deviation == pytest.approx(0.02)
    assert (over.low, over.high, over.count) == (0.90, 0.94, 3)


@pytest.mark.parametrize(
    ("accuracy", "photos", "low", "high"),
    [
        (0.8, 10, 0.490, 0.943),
        (1.0, 10, 0.722, 1.0),
        (0.0, 10, 0.0, 0.278),
        (81 / 263, 263, 0.255, 0.366),  # Newcombe 1998, table I
        (0.935, 153, 0.884, 0.964),  # 143 of 153: a fraction between two photos goes to the nearer one
    ],
)
def test_wilson(accuracy, photos, low, high):
    assert statistics.wilson(accuracy, photos) == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize(("b", "c", "p"), [(9, 1, 0.0215), (5, 5, 1.0), (0, 0, 1.0), (6, 0, 0.03125), (1, 9, 0.0215)])
def test_mcnemar(b, c, p):
    assert statistics.mcnemar(b, c) == pytest.approx(p, abs=5e-5)


def test_with_one_seed_the_paired_test_is_mcnemars():
    assert statistics.paired(np.array([1] * 9 + [-1] + [0] * 80)) == statistics.mcnemar(9, 1)


def test_seeds_that_all_agree_are_not_more_evidence_than_one():
    assert statistics.paired(np.array([3] * 9 + [-3] + [0] * 80)) == statistics.mcnemar(9, 1)


@pytest.mark.parametrize("differences", [[3, 1, -2, 1, 0, 2], [4, -2, 2], [1, 2, 3, 3, 3, -1, 1, 2]])
def test_the_paired_test_counts_every_sign(differences):
    sums = [
        sum(s * abs(d) for s, d in zip(signs, differences, strict=True))
        for signs in product((1, -1), repeat=len(differences))
    ]
    extreme = sum(abs(total) >= abs(sum(differences)) for total in sums) / len(sums)
    assert statistics.paired(np.array(differences)) == pytest.approx(extreme)


def test_no_difference_is_no_evidence():
    assert statistics.paired(np.zeros(153, dtype=int)) == 1.0


def test_holm():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([]) == []


def test_holm_counts_the_pairs_that_were_not_tested():
    assert statistics.holm([0.01, 0.001], family=10) == pytest.approx([0.09, 0.01])
