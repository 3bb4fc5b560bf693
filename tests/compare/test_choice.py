"""Which row to ship: the decision, how sure it is, and what it says of itself."""

import json
import math

import numpy as np
import pytest
from scipy import optimize, stats

from hymtl import cli
from hymtl.compare import bounds, choice, grouping, runs
from hymtl.compare.bounds import Paired
from hymtl.compare.sentences import sentences
from hymtl.compare.statistics import wilson
from hymtl.errors import HymtlError
from hymtl.records.choice import Limits, Part
from tests.compare import runs as made_up

FOLDS = 5


def cross_validated(sweep, strategy, photos, wrong, *, curve=None, ms=None, fit=30.0, names=None, seed=0, part=None):
    """A row of five folds that together have the photos numbered ``wrong`` wrong; ``curve`` is each fold's accuracy by
    epoch, of which the third is the best; ``part`` is the share of the pictures that trained.
    """
    names = names or made_up.names(photos)
    fraction = {"train_fraction": part} if part else {}
    suffix = "".join(f"-{one}" for one in (seed, part) if one)
    for fold in range(FOLDS):
        held = [number for number in range(photos) if number // 2 % FOLDS == fold]
        missed = {place for place, number in enumerate(held) if number in wrong}
        accuracy = 1 - len(missed) / len(held)
        folder = made_up.write(
            sweep / f"{strategy}-{fold}{suffix}", strategy, seed=seed,
            photos=[names[number] for number in held], wrong=missed,
            fold={"folds": FOLDS, "fold": fold} | fraction, benchmark=False, overrides=[f"data.fold={fold}"],
            more={
                "history": {"val/acc": [accuracy + lower for lower in curve or (0, 0, 0)]},
                "seconds": {"fit": fit},
                "best": {"epoch": 2 if curve is None else (fold % 2) + 1},
                "dataset": {"train": round(244 * (part or 1))},
            },
        )  # fmt: skip
        if ms:
            quantizes = strategy in ("quantized", "qat")
            made_up_time = made_up.timed(ms / 1e3, quantizes)
            (folder / "benchmark.json").write_text(json.dumps(made_up_time))


def decided(sweep, **limits):
    (table,) = grouping.tables(runs.find([sweep]).runs)
    return choice.decide(table, Limits(**limits))


def some(count, photos, seed=0):
    """The numbers of so many photos, anywhere."""
    return set(np.random.default_rng(seed).choice(photos, count, replace=False).tolist())


def test_where_nothing_is_better_than_the_cheapest_it_is_shipped_and_that_is_sure(tmp_path):
    photos = 4000
    missed = some(200, photos)
    cross_validated(tmp_path, "quantized", photos, missed)
    cross_validated(tmp_path, "frozen", photos, missed)
    cross_validated(tmp_path, "finetune", photos, missed)
    made = decided(tmp_path)
    assert made.of(made.chosen).strategy == "quantized" and made.sure
    assert made.sentences[0].startswith("Ship strategy=quantized: accuracy 0.9500 out of fold on 4000 photos")
    assert made.sentences[2].startswith("Sure at 95%")


def test_a_strategy_that_truly_wins_is_shipped_whatever_it_costs(tmp_path):
    photos = 1400
    cross_validated(tmp_path, "quantized", photos, some(120, photos, 1))
    cross_validated(tmp_path, "finetune", photos, some(30, photos, 2))
    made = decided(tmp_path)
    assert made.of(made.chosen).strategy == "finetune" and made.sure
    assert made.of("strategy=quantized").gap.high < -made.limits.margin


def test_a_limit_leaves_out_the_best_and_says_what_that_costs(tmp_path):
    photos = 1400
    cross_validated(tmp_path, "quantized", photos, some(120, photos, 1))
    cross_validated(tmp_path, "finetune", photos, some(30, photos, 2))
    made = decided(tmp_path, max_mb=20)
    assert made.of(made.chosen).strategy == "quantized"
    said = next(sentence for sentence in made.sentences if "finetune" in sentence)
    assert "44.8 MB, more than max_mb=20" in said and "0.9786" in said


def test_too_few_photos_cannot_tell_and_the_cheapest_of_them_is_taken(tmp_path):
    cross_validated(tmp_path, "quantized", 40, {1, 2})
    cross_validated(tmp_path, "finetune", 40, {1})
    made = decided(tmp_path)
    assert made.of(made.chosen).strategy == "quantized" and made.of(made.best).strategy == "finetune"
    assert not made.sure and made.sentences[2].startswith("Cannot tell: 40 photos")


def test_rows_that_agree_on_every_one_of_few_photos_are_not_called_equal(tmp_path):
    cross_validated(tmp_path, "quantized", 40, {1})
    cross_validated(tmp_path, "finetune", 40, {1})
    made = decided(tmp_path)
    assert not made.sure and made.short > 0.05 and made.needed > 400


def test_more_photos_are_asked_for_than_there_are_and_would_tell(tmp_path):
    for strategy in ("quantized", "finetune"):
        cross_validated(tmp_path, strategy, 500, some(20, 500))
    few = decided(tmp_path)
    assert not few.sure and 500 < few.needed < 1500 and "About 600 photos" in few.sentences[2]
    for strategy in ("quantized", "finetune"):
        cross_validated(tmp_path / "more", strategy, few.needed, some(20, 500))
    assert decided(tmp_path / "more").sure


def test_what_is_better_and_cannot_be_chosen_is_not_denied(tmp_path):
    photos = 1400
    cross_validated(tmp_path, "quantized", photos, some(120, photos, 1))
    cross_validated(tmp_path, "frozen", photos, some(120, photos, 1))
    cross_validated(tmp_path, "finetune", photos, some(30, photos, 2))
    made = decided(tmp_path, max_mb=20)
    assert made.sentences[2].startswith("The others cannot be chosen; how they compare is said below.")
    for fold in range(FOLDS):  # as small as the limit wants
        file = tmp_path / f"frozen-{fold}" / "result.json"
        record = json.loads(file.read_text())
        file.write_text(json.dumps(record | {"bytes": {"float": 10**7, "int8": None}}))
    made = decided(tmp_path, max_mb=20)
    assert made.sure and made.sentences[2].startswith("Sure at 95%: strategy=quantized is not better by")


def test_times_that_only_some_have_decide_nothing_and_are_not_given_as_the_reason(tmp_path):
    photos = 4000
    cross_validated(tmp_path, "finetune", photos, some(200, photos), ms=30, fit=10)
    cross_validated(tmp_path, "frozen", photos, some(210, photos), ms=10, fit=50)
    cross_validated(tmp_path, "scratch", photos, some(210, photos), fit=50)
    made = decided(tmp_path)
    assert made.chosen == "strategy=finetune"
    assert made.sentences[1] == "It is the most accurate one, and none of the others costs less."


def test_the_winner_of_a_fraction_is_not_said_to_have_trained_on_all(tmp_path):
    cross_validated(tmp_path, "quantized", 40, {1})
    made = decided(tmp_path)
    made.test = Part(photos=10, trained=20, acc=0.9, promised=(0.8, 1.0))
    assert "Trained once more on 20 other photos, for 3 epochs, it has 0.9000" in sentences(made)[-1]
    made.test.trained = 40
    assert "Trained once more on all 40 other photos, for 3 epochs" in sentences(made)[-1]


@pytest.mark.parametrize(
    ("right", "promised", "said"),
    [
        (13, (13 / 18, 1.0), "as promised"),
        (12, (13 / 18, 1.0), "LESS than promised"),
        (15, (0.5, 15 / 18), "as promised"),
        (16, (0.5, 15 / 18), "MORE than promised"),
    ],
)
def test_a_score_on_a_bound_is_as_promised(tmp_path, right, promised, said):
    cross_validated(tmp_path, "quantized", 40, {1})
    made = decided(tmp_path)
    for accuracy in (float(np.float32(right / 18)), right / 18):  # as it is measured, and as it is
        made.test = Part(photos=18, trained=40, acc=accuracy, promised=promised)
        assert sentences(made)[-1].endswith(f": {said}.")


def test_a_large_gap_on_few_photos_is_not_ignored_for_the_sake_of_cost(tmp_path):
    cross_validated(tmp_path, "quantized", 40, set(range(16)))
    cross_validated(tmp_path, "finetune", 40, {1})
    assert decided(tmp_path).chosen == "strategy=finetune"


def test_what_choosing_each_folds_epoch_on_its_own_photos_added_is_taken_off(tmp_path):
    photos = 400
    cross_validated(tmp_path, "quantized", photos, some(40, photos, 1))
    cross_validated(tmp_path, "finetune", photos, some(36, photos, 1), curve=(-0.2, -0.08, -0.08))
    made = decided(tmp_path)
    assert made.of("strategy=finetune").flattery == pytest.approx(0.08)
    assert made.of("strategy=finetune").accuracy == pytest.approx(1 - 36 / photos - 0.08)
    assert made.best == made.chosen == "strategy=quantized"


def test_what_is_taken_off_others_is_said_as_a_table_shows_them_without(tmp_path):
    cross_validated(tmp_path, "quantized", 400, some(40, 400, 1))
    cross_validated(tmp_path, "finetune", 400, some(36, 400, 1), curve=(-0.2, -0.08, -0.08))
    (said,) = [one for one in decided(tmp_path).sentences if one.startswith("strategy=finetune")]
    assert ", 8.0 points taken off for choosing epochs on the same photos, at " in said
    (said,) = [one for one in decided(tmp_path, max_mb=20).sentences if one.startswith("strategy=finetune")]
    assert "it had 0.8300, 8.0 points taken off for choosing epochs on the same photos, " in said


@pytest.mark.parametrize(("seconds", "chosen"), [(9, "quantized"), (11, "qat")])
def test_seconds_of_training_that_are_nothing_cost_no_accuracy(tmp_path, seconds, chosen):
    """Of what is equally fast and small."""
    cross_validated(tmp_path, "quantized", 400, some(20, 400), fit=1.0 + seconds)
    cross_validated(tmp_path, "qat", 400, some(21, 400), fit=1.0)
    assert decided(tmp_path).chosen == f"strategy={chosen}"


def test_a_seed_that_lacks_a_fold_does_not_rule_out_those_that_have_all(tmp_path):
    cross_validated(tmp_path, "quantized", 400, some(200, 400))
    for seed in (0, 1):
        cross_validated(tmp_path, "finetune", 400, some(20, 400), seed=seed)
    (tmp_path / "finetune-4-1" / "result.json").unlink()
    made = decided(tmp_path)
    assert made.chosen == "strategy=finetune" and made.of(made.chosen).photos == 400
    assert made.of(made.chosen).accuracy == 0.95
    assert "Not counted, of strategy=finetune: seed 1 (4 of 5 folds)." in made.sentences


def test_runs_that_failed_are_said_with_the_decision(tmp_path):
    cross_validated(tmp_path, "quantized", 400, some(200, 400))
    cross_validated(tmp_path, "finetune", 400, some(20, 400))
    (table,) = grouping.tables(runs.find([tmp_path]).runs)
    table.rows[0].absent.append(runs.Absent(tmp_path / "seed1", "failed", "out of memory", ()))
    assert "Not counted, of strategy=finetune: 1 failed." in choice.decide(table, Limits()).sentences


def test_what_trained_on_a_part_of_the_pictures_is_not_shipped_in_place_of_what_had_all(tmp_path):
    cross_validated(tmp_path, "frozen", 400, some(20, 400), fit=10.0, part=0.25)
    cross_validated(tmp_path, "frozen", 400, some(21, 400), fit=100.0)
    made = decided(tmp_path)
    assert made.chosen == "strategy=frozen" and len(made.candidates) == 1
    assert "1 row that trained on a part of the pictures is left out, as rows that differ" in "".join(made.sentences)


def test_a_part_of_the_pictures_is_enough_where_the_row_that_had_all_cannot_be_chosen(tmp_path):
    cross_validated(tmp_path, "frozen", 400, some(20, 400), part=0.25)
    cross_validated(tmp_path, "frozen", 400, some(21, 400))
    cross_validated(tmp_path, "quantized", 400, some(120, 400))
    (tmp_path / "frozen-4" / "result.json").unlink()
    assert decided(tmp_path).chosen == "strategy=frozen data.train_fraction=0.25"


def test_a_time_taken_of_a_seed_that_lacks_a_fold_is_a_time(tmp_path):
    cross_validated(tmp_path, "finetune", 400, some(20, 400), ms=10)
    cross_validated(tmp_path, "frozen", 400, some(20, 400))
    cross_validated(tmp_path, "frozen", 400, some(20, 400), seed=1, ms=40)
    (tmp_path / "frozen-4-1" / "result.json").unlink()
    made = decided(tmp_path, max_ms=20)
    assert made.chosen == "strategy=finetune" and "more than max_ms=20" in made.of("strategy=frozen").obstacle


@pytest.mark.parametrize(("fit", "said"), [(3000, "12 times"), (300, "1.2 times"), (100, "0.4 times"), (10, "1/25 of")])
def test_training_time_is_said_in_times_or_parts(tmp_path, fit, said):
    cross_validated(tmp_path, "finetune", 400, some(20, 400), fit=250)
    cross_validated(tmp_path, "frozen", 400, some(200, 400), fit=fit)
    (sentence,) = [one for one in decided(tmp_path).sentences if one.startswith("strategy=frozen")]
    assert sentence.endswith(f" and {said} the training time.")


def test_seconds_of_training_that_do_not_count_are_not_said_to_be_fewer(tmp_path):
    cross_validated(tmp_path, "quantized", 400, some(20, 400), fit=5.0)
    cross_validated(tmp_path, "qat", 400, some(21, 400), fit=1.0)
    made = decided(tmp_path)
    assert made.sentences[1] == "It is the most accurate one, and none of the others costs less."
    assert not any("training time" in said for said in made.sentences)


def test_a_training_as_long_is_not_said_to_take_1_0_times_the_time(tmp_path):
    cross_validated(tmp_path, "quantized", 400, some(20, 400), fit=100.0)
    cross_validated(tmp_path, "qat", 400, some(21, 400), fit=104.0)
    assert not any("training time" in said for said in decided(tmp_path).sentences)


def test_of_equally_accurate_ones_none_is_called_the_most_accurate(tmp_path):
    cross_validated(tmp_path, "finetune", 400, some(20, 400), fit=100.0)
    cross_validated(tmp_path, "frozen", 400, some(20, 400), fit=1.0)
    made = decided(tmp_path)
    assert made.chosen == made.best == "strategy=frozen"
    assert made.sentences[1] == "No other is more accurate, and none of the others costs less."


def test_where_the_other_of_two_cannot_be_chosen_it_is_spoken_of_as_one(tmp_path):
    cross_validated(tmp_path, "finetune", 400, some(20, 400))
    cross_validated(tmp_path, "quantized", 400, some(20, 400))
    made = decided(tmp_path, max_mb=20)
    assert made.sentences[2] == "The other cannot be chosen; how it compares is said below."


def test_whether_it_is_sure_is_not_said_where_nothing_was_compared(tmp_path):
    cross_validated(tmp_path, "frozen", 40, some(2, 40))
    made = decided(tmp_path)
    assert made.sure is None and made.sentences[2] == "How others would have done is not known."


def test_pictures_that_stand_on_two_sides_are_said_with_the_decision_and_the_table(tmp_path):
    cross_validated(tmp_path, "frozen", 40, some(2, 40))
    for file in tmp_path.rglob("result.json"):
        record = json.loads(file.read_text())
        file.write_text(json.dumps(record | {"data_check": {"files": 40, "leaks": [["ants/1.jpg", "ants/2.jpg"]]}}))
    said = "1 picture stands on two sides of a split, "
    assert decided(tmp_path).sentences[3].startswith(said)
    (table,) = grouping.tables(runs.find([tmp_path]).runs)
    assert table.warnings[0].startswith(said)


def test_folds_that_computed_features_for_the_others_make_training_no_dearer(tmp_path):
    cross_validated(tmp_path, "quantized", 400, some(20, 400), fit=1.0)
    cross_validated(tmp_path, "qat", 400, some(20, 400), fit=20.0)
    for fold in (0, 1):
        file = tmp_path / f"quantized-{fold}" / "result.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"seconds": {"fit": 500.0}}))
    assert decided(tmp_path).of("strategy=quantized").seconds == 1.0
    assert decided(tmp_path).chosen == "strategy=quantized"


def test_without_a_finished_run_there_is_nothing_to_choose_from(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "failure.json").write_text('{"error": "a reason"}')
    assert cli.main(["compare", str(tmp_path), "--choose"]) == 1
    assert "0 finished runs, 1 FAILED: there is nothing to choose from." in capsys.readouterr().err


def test_a_choice_that_cannot_be_read_is_a_warning(tmp_path, capsys):
    cross_validated(tmp_path, "quantized", 40, {1})
    (tmp_path / "choice.json").write_text("{")
    assert cli.main(["compare", str(tmp_path)]) == 0
    assert "choice.json cannot be read. The race's command writes it anew." in capsys.readouterr().out


def test_the_faster_is_the_cheaper_and_a_limit_in_ms_goes_by_the_benchmark(tmp_path):
    photos = 400
    cross_validated(tmp_path, "quantized", photos, some(40, photos), ms=30)
    cross_validated(tmp_path, "frozen", photos, some(40, photos), ms=10)
    assert decided(tmp_path).chosen == "strategy=frozen"
    made = decided(tmp_path, max_ms=20)
    assert made.of("strategy=quantized").obstacle == "it takes 30.0 ms a photo, more than max_ms=20"
    with pytest.raises(HymtlError, match="None of 2 can be chosen.*30.0 ms"):
        decided(tmp_path, max_ms=5)


def test_a_time_whose_spread_crosses_the_limit_is_said_to_be_unsure_and_stops_no_race(tmp_path):
    for strategy, ms in (("quantized", 19), ("frozen", 21), ("finetune", 30)):
        cross_validated(tmp_path, strategy, 40, {1}, ms=ms)
    made = decided(tmp_path, max_ms=20)
    assert made.chosen == "strategy=quantized"
    (said,) = [one for one in made.sentences if "may not always keep" in one]
    assert said.startswith("It may not always keep max_ms=20: half of its times lie between 17.1 and 20.9 ms.")
    assert "(half of its times lie between 18.9 and 23.1 ms: on a quiet" in made.of("strategy=frozen").obstacle
    (table,) = grouping.tables(runs.find([tmp_path]).runs)
    stopped = [choice.strategy(row) for row in table.rows if choice.far_beyond(row, Limits(max_ms=20))]
    assert stopped == ["finetune"]
    assert all(choice.far_beyond(row, Limits(max_ms=20, max_mb=1)) for row in table.rows)


def test_folds_that_are_missing_are_said_before_a_timing_that_would_not_help(tmp_path):
    for strategy in ("quantized", "frozen"):
        cross_validated(tmp_path, strategy, 40, {1}, ms=10 if strategy == "quantized" else None)
    for name in ("result.json", "predictions.csv"):
        (tmp_path / "frozen-4" / name).unlink()
    assert decided(tmp_path, max_ms=20).of("strategy=frozen").obstacle == "folds are missing (seed 0: 4 of 5 folds)"


def test_a_limit_in_ms_is_refused_before_anything_was_timed(tmp_path):
    cross_validated(tmp_path, "frozen", 40, {1})
    with pytest.raises(HymtlError, match="max_ms=20: nothing was timed yet. First: hymtl benchmark "):
        decided(tmp_path, max_ms=20)


def test_a_row_that_lacks_folds_is_shown_and_not_chosen(tmp_path):
    cross_validated(tmp_path, "quantized", 40, {1})
    cross_validated(tmp_path, "finetune", 40, set())
    for file in (tmp_path / "finetune-4").glob("*.json"):
        file.unlink()
    made = decided(tmp_path)
    assert made.chosen == "strategy=quantized" and "4 of 5 folds" in made.of("strategy=finetune").obstacle


@pytest.mark.parametrize(("gains", "losses", "photos"), [(12, 2, 100), (0, 5, 30), (7, 0, 50), (1, 1, 20)])
def test_the_bound_is_where_the_score_of_the_likeliest_network_meets_the_level(gains, losses, photos):
    bound = Paired(gains, losses, photos).above(0.05)

    def likelihood(second):  # of the shares that only the second, only the first, and both or none have right
        shares = np.array([second + bound, second, 1 - 2 * second - bound])
        counts = np.array([gains, losses, photos - gains - losses])
        return -float(stats.multinomial.logpmf(counts, photos, shares / shares.sum()))

    low, high = max(0.0, -bound), (1 - bound) / 2
    second = optimize.minimize_scalar(likelihood, bounds=(low + 1e-12, high), method="bounded").x
    error = math.sqrt((2 * second + bound - bound**2) / photos)
    assert ((gains - losses) / photos - bound) / error == pytest.approx(-stats.norm.isf(0.05), abs=2e-3)


def test_a_bound_without_any_difference_is_wilsons():
    for photos in (20, 300):
        assert Paired(0, 0, photos).above(0.025) == pytest.approx(1.96**2 / (photos + 1.96**2), rel=1e-3)


def test_folds_that_share_training_photos_widen_the_bounds():
    assert bounds.inflation(5) == pytest.approx(2.25) and bounds.inflation(None) == 1.0
    alone, shared = Paired(20, 10, 300), Paired(20, 10, 300, inflated=2.25)
    assert shared.above(0.05) > alone.above(0.05) and shared.below(0.05) < alone.below(0.05)
    assert shared.error == pytest.approx(1.5 * alone.error)


def test_a_strategy_is_hopeless_only_once_all_photos_could_not_save_it(tmp_path):
    photos = 400
    cross_validated(tmp_path, "quantized", photos, some(20, photos, 1))
    cross_validated(tmp_path, "finetune", photos, some(120, photos, 2))
    for fold in (2, 3, 4):
        for file in (tmp_path / f"finetune-{fold}").glob("*.json"):
            file.unlink()
    (table,) = grouping.tables(runs.find([tmp_path]).runs)
    rival, begun = (
        next(row for row in table.rows if choice.strategy(row) == name) for name in ("quantized", "finetune")
    )
    assert "points behind strategy=quantized" in str(choice.hopeless(begun, rival, Limits(), 4))
    near = Paired(10, 9, 80, 2.25)
    assert near.after(400, 0.0125) > 0.03 and near.after(80, 0.0125) == pytest.approx(near.difference)


def test_what_choosing_epochs_flatters_in_two_folds_stops_no_strategy(tmp_path):
    photos = 400
    cross_validated(tmp_path, "quantized", photos, some(60, photos, 1))
    cross_validated(tmp_path, "finetune", photos, some(40, photos, 2), curve=[0, -0.3, 0])
    for fold in (2, 3, 4):
        (tmp_path / f"finetune-{fold}" / "result.json").unlink()
    (table,) = grouping.tables(runs.find([tmp_path]).runs)
    rival, begun = (
        next(row for row in table.rows if choice.strategy(row) == name) for name in ("quantized", "finetune")
    )
    assert begun.flattery > 0.1 and choice.difference(begun, rival).after(photos, choice.ERROR / 4) < 0
    assert choice.hopeless(begun, rival, Limits(), 4) is None


@pytest.mark.parametrize(
    ("rival", "other"),
    [
        ({"strategy": "finetune", "fit": 300}, {"strategy": "frozen", "fit": 10}),  # the cheaper to train
        ({"strategy": "quantized"}, {"strategy": "frozen"}),  # nobody knows yet which is the faster
        ({"strategy": "quantized", "ms": 20}, {"strategy": "frozen", "ms": 10}),
    ],
)
def test_what_may_prove_to_be_the_cheaper_is_not_hopeless_as_long_as_it_keeps_up(tmp_path, rival, other):
    cross_validated(tmp_path, photos=4000, wrong=some(200, 4000), **rival)
    cross_validated(tmp_path, photos=4000, wrong=some(202, 4000), **other)
    (table,) = grouping.tables(runs.find([tmp_path]).runs)
    first, second = (
        next(row for row in table.rows if choice.strategy(row) == one["strategy"]) for one in (rival, other)
    )
    assert not choice.hopeless(second, first, Limits(), 4)
    if {"ms"} & rival.keys() or "fit" in rival:
        assert "points ahead of" in str(choice.hopeless(first, second, Limits(), 4))


@pytest.mark.parametrize(("wrong", "hopeless"), [(190, False), (400, True)])
def test_what_costs_the_same_may_win_by_a_little_and_is_hopeless_where_it_cannot(tmp_path, wrong, hopeless):
    cross_validated(tmp_path, "quantized", 4000, some(200, 4000))
    cross_validated(tmp_path, "qat", 4000, some(wrong, 4000))
    (table,) = grouping.tables(runs.find([tmp_path]).runs)
    rival, other = (next(row for row in table.rows if choice.strategy(row) == name) for name in ("quantized", "qat"))
    reason = "it can hardly end ahead of strategy=quantized, which costs as much"
    assert choice.hopeless(other, rival, Limits(), 4) == (reason if hopeless else None)


def test_the_promised_interval_holds_what_it_promises():
    chance = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        true = chance.beta(30, 3)
        shown, coming = chance.binomial(320, true) / 320, chance.binomial(80, true) / 80
        low, high = bounds.promised(shown, 320, 80)
        inside += low <= coming <= high
    assert inside / 2000 >= 0.95


@pytest.mark.parametrize(("groups", "size"), [(80, 5), (40, 10), (400, 1)])
def test_promise_and_bound_hold_where_photos_of_a_group_err_alike(groups, size):
    """Groups that are wholly right or wholly wrong, of which a fourth part comes for the test."""
    draw, promises, claims, times = np.random.default_rng(0), 0, 0, 400
    names = np.repeat(np.arange(groups), size).astype(str).tolist()
    for _ in range(times):
        right = np.repeat(draw.random(groups) < 0.85, size).astype(float)
        effect = bounds.design(right, names)
        low, high = bounds.promised(right.mean(), groups * size, groups * size // 4, 5, design=effect)
        promises += low <= (draw.random(groups // 4) < 0.85).mean() <= high
        differs = right - np.repeat(draw.random(groups) < 0.85, size)
        gains, losses = (differs > 0).sum(), (differs < 0).sum()
        claims += Paired(gains, losses, groups * size, bounds.design(differs, names)).above(0.05) < 0  # wrongly
    assert promises / times >= 0.94 and claims / times <= 0.08


def test_the_promise_holds_where_one_training_ends_far_from_the_next():
    chance, photos, folds, inside, narrow = np.random.default_rng(0), 288, 5, 0, 0
    for _ in range(500):
        networks = np.clip(chance.normal(0.85, 0.06, folds + 1), 0.02, 0.99)
        *shown, coming = chance.binomial(photos, networks) / photos
        between = bounds.between(shown, [photos] * folds)
        low, high = bounds.promised(np.mean(shown), photos * folds, photos, folds, between)
        inside += low <= coming <= high
        low, high = bounds.promised(np.mean(shown), photos * folds, photos, folds)
        narrow += low <= coming <= high
    assert inside / 500 > 0.9 and narrow / 500 < 0.7


def test_folds_that_differ_by_chance_are_called_steady():
    chance, photos = np.random.default_rng(0), [63, 63, 63, 64, 64]
    found = [bounds.between(chance.binomial(photos, 0.9) / photos, photos) for _ in range(1000)]
    assert sum(variance > 0 for variance in found) / 1000 < 0.08
    unsteady = [bounds.between(chance.normal(0.7, 0.1, 5), [2000] * 5) for _ in range(1000)]
    assert np.mean(unsteady) == pytest.approx(0.01, rel=0.1)
    assert bounds.between([1.0, 1.0], [20, 20]) == 0


def test_one_fold_says_nothing_of_steadiness_and_a_faultless_one_is_promised_something(tmp_path):
    cross_validated(tmp_path, "quantized", 100, {1})
    cross_validated(tmp_path, "finetune", 100, {1})
    for fold in range(1, FOLDS):
        (tmp_path / f"finetune-{fold}" / "result.json").unlink()
    assert decided(tmp_path).of("strategy=finetune").between == 0
    low, high = bounds.promised(1.0, 320, 80, FOLDS, 0.01)
    assert 0 <= low < high == 1


def test_a_strategy_whose_folds_fall_apart_is_said_to_be_unsteady(tmp_path):
    cross_validated(tmp_path / "steady", "frozen", 500, set(range(30)))
    assert not any("Its folds differ" in one for one in decided(tmp_path / "steady").sentences)
    in_two_folds = {number for number in range(500) if number // 2 % FOLDS < 2 and number % 4 < 3}
    cross_validated(tmp_path / "unsteady", "finetune", 500, in_two_folds)
    made = decided(tmp_path / "unsteady")
    spread = math.sqrt(made.candidates[0].between)
    assert spread == pytest.approx(np.std([0.25, 0.25, 1, 1, 1], ddof=1), abs=0.01)
    assert any(f"photos explain (standard deviation {spread * 100:.1f} points)" in one for one in made.sentences)


def test_what_is_no_better_than_always_naming_the_commonest_class_is_said_to_be_so(tmp_path):
    missed = some(20, 200)
    cross_validated(tmp_path / "half", "frozen", 200, missed)
    assert not any("Whoever always says" in one for one in decided(tmp_path / "half").sentences)
    nine_in_ten = [(f"val/{label}/{i}.jpg", label) for i in range(200) for label in ["ants" if i % 10 else "bees"]]
    cross_validated(tmp_path / "rare", "frozen", 200, missed, names=nine_in_ten)
    (said,) = [one for one in decided(tmp_path / "rare").sentences if "Whoever always says" in one]
    assert said.startswith('Whoever always says "ants" is right on 0.9000 of these photos')
    grouped = bounds.inflation(FOLDS)
    cross_validated(tmp_path / "some", "frozen", 200, some(9, 200), names=nine_in_ten)
    assert wilson(0.955, 200)[0] > 0.9 > wilson(0.955, round(200 / grouped))[0]
    assert any("Whoever always says" in one for one in decided(tmp_path / "some").sentences)
    cross_validated(tmp_path / "learned", "frozen", 200, some(2, 200), names=nine_in_ten)
    assert not any("Whoever always says" in one for one in decided(tmp_path / "learned").sentences)


def test_compare_choose_says_the_decision_first_in_the_terminal_and_on_the_page(tmp_path, capsys):
    cross_validated(tmp_path, "quantized", 40, {1, 2})
    cross_validated(tmp_path, "finetune", 40, {1})
    assert cli.main(["compare", str(tmp_path), "--choose", "max_mb=20"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("Ship strategy=quantized") < shown.index("10 finished runs")
    page = (tmp_path / "comparison.html").read_text()
    assert page.index("Ship strategy=quantized") < page.index("data-table")
    assert "Ship strategy=quantized" in (tmp_path / "comparison.md").read_text()


def test_a_choice_of_one_table_is_shown_though_another_has_none(tmp_path, capsys):
    cross_validated(tmp_path / "timed", "quantized", 40, {1, 2}, ms=10)
    made_up.write(tmp_path / "other", "frozen", digest="e" * 64, benchmark=False)
    assert cli.main(["compare", str(tmp_path), "--choose", "max_ms=20"]) == 0
    said = capsys.readouterr().out
    assert "Ship strategy=quantized" in said and "max_ms=20: nothing was timed yet. First: hymtl benchmark" in said
    assert cli.main(["compare", str(tmp_path), "--choose", "max_ms=2"]) == 1


def test_equal_but_for_rounding_is_called_equal_and_epochs_by_another_measure_flatter_nobody(tmp_path):
    cross_validated(tmp_path, "quantized", 40, {1}, curve=(0.1, 0.1, 0.0))
    cross_validated(tmp_path, "finetune", 40, {1}, curve=(1e-9, 1e-9, 0.0))
    made = decided(tmp_path)
    assert made.best == made.chosen == "strategy=quantized"
    assert all(candidate.flattery >= 0 for candidate in made.candidates)
    assert not any("-0.0" in sentence for sentence in made.sentences)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("margin=-1", "--choose margin=-1: expected a number from 0 to below 1"),
        ("max_ms=quick", "--choose max_ms=quick: expected null or a number above 0"),
        ("max_ms=inf", "--choose max_ms=inf: expected null or a number above 0"),
        ("margin=nan", "--choose margin=nan: expected a number from 0 to below 1"),
        ("margin=null", "--choose margin=null: expected a number from 0 to below 1"),
        ("max_mb=0", "--choose max_mb=0: expected null or a number above 0"),
        ("max_sm=20", "Did you mean 'max_ms'?"),
        ("max_ms=20 max_ms=5", "--choose max_ms=5: max_ms is given twice"),
        ("max_ms=20,margin=0.1", "limits are words of their own: max_ms=20 margin=0.1"),
        ("margin=0,03", "--choose margin=0,03: expected a number from 0 to below 1"),
    ],
)
def test_compare_choose_refuses_nonsense_by_name(tmp_path, capsys, words, said):
    cross_validated(tmp_path, "quantized", 40, {1, 2})
    assert cli.main(["compare", str(tmp_path), "--choose", *words.split()]) == 1
    assert said in capsys.readouterr().err
