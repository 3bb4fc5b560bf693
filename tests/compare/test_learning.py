"""The learning curve: which rows make one, and what it says of more pictures."""

import numpy as np
import pytest

from hymtl.compare import comparison, grouping, statistics
from hymtl.compare.runs import find
from tests.compare import runs

FRACTIONS = {0.25: 61, 0.5: 122, 1.0: 244}


def write(folder, strategy, wrong, photos=200, seed=0):
    """Runs of a strategy that gets so many photos wrong with each fraction."""
    for (fraction, train), count in zip(FRACTIONS.items(), wrong, strict=True):
        runs.write(
            folder / f"{strategy}{fraction}{seed}", strategy, seed=seed, photos=runs.names(photos),
            wrong=set(range(count)), fold={"train_fraction": fraction}, more={"dataset": {"train": train}},
        )  # fmt: skip


def table_of(folder):
    (table,) = grouping.tables(find([folder]).runs)
    return table


def test_rows_with_fewer_pictures_share_a_table_and_make_a_curve_for_each_strategy(tmp_path):
    write(tmp_path, "qat", (60, 40, 20))
    write(tmp_path, "frozen", (30, 20, 10))
    runs.write(tmp_path / "alone", "finetune", photos=runs.names(200))  # a run from before there were fractions
    table = table_of(tmp_path)
    assert "244 training + 200 validation photos" in table.title
    labels = {f"strategy={name} data.train_fraction={part:g}" for name in ("qat", "frozen") for part in FRACTIONS}
    assert {row.label for row in table.rows} == {"strategy=finetune", *labels}
    assert [(curve.label, curve.pictures) for curve in table.learning_curves] == [
        ("strategy=frozen", [61, 122, 244]), ("strategy=qat", [61, 122, 244]),
    ]  # fmt: skip


def test_a_fraction_alone_is_named_by_its_strategy_and_seeds_are_pooled(tmp_path):
    for seed in range(2):
        write(tmp_path, "qat", (60, 40, 20), seed=seed)
    (curve,) = table_of(tmp_path).learning_curves
    assert curve.label == "strategy=qat" and len(curve.rows) == 3


@pytest.mark.parametrize(
    ("wrong", "photos", "verdict"),
    [
        ((150, 100, 50), 200, "200 more training pictures than the 244 would help (+"),
        ((30, 20, 20), 2000, "would hardly help"),
        ((12, 8, 7), 50, "may help or not: these photos cannot tell"),
    ],
)
def test_a_sentence_says_whether_more_pictures_would_help(tmp_path, wrong, photos, verdict):
    write(tmp_path, "frozen", wrong, photos)
    said = comparison.compare([tmp_path])
    assert "Would more training pictures help?" in said and verdict in said
    assert verdict in (tmp_path / "comparison.html").read_text().replace("&#43;", "+")


def test_a_sweep_of_one_number_of_pictures_says_nothing_of_more(tmp_path):
    runs.write(tmp_path / "a", "qat")
    runs.write(tmp_path / "b", "frozen")
    assert "more training pictures" not in comparison.compare([tmp_path])


def shares(right, photos):
    return (np.arange(photos) < right).astype(float)


def test_error_that_is_halved_by_each_doubling_is_halved_once_more():
    found = statistics.growth(shares(8000, 10_000), shares(9000, 10_000), 100, 200, 400)
    assert found.gain == pytest.approx(0.05, abs=1e-3)
    # Bonett and Price's interval of the step itself: 1000 of 10,000 photos differ, all one way.
    mean, count = 1000 / 10_002, 10_002
    reach = 1.96 * np.sqrt((1002 / count - mean**2) / count)
    assert found.high - found.gain == pytest.approx(reach, rel=1e-4) == found.gain - found.low


def test_no_gain_is_beyond_what_accuracy_can_do():
    for few, many in ((shares(4, 4), shares(2, 4)), (shares(0, 4), shares(3, 4))):
        found = statistics.growth(few, many, 1, 6, 12)
        assert -many.mean() <= found.low <= found.gain <= found.high <= 1 - many.mean()


def test_a_step_that_won_nothing_promises_nothing_but_few_photos_leave_it_open():
    few, many = (statistics.growth(shares(n * 9 // 10, n), shares(n * 9 // 10, n), 100, 200, 400) for n in (50, 5000))
    assert few.gain == many.gain == 0
    assert few.high > 0.01 > many.high > 0
