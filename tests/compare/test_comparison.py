"""What `hymtl compare` says of run folders whose results are known because they are made up."""

import csv
import json
import re
import shutil

import pytest
import yaml

from hymtl import cli
from hymtl.compare import comparison, grouping
from hymtl.compare.runs import find
from hymtl.errors import HymtlError
from tests.compare import runs


def table_of(folder):
    found = find([folder])
    (table,) = grouping.tables(found.runs, found.absent)
    return table


def lines_of(folder):
    with (folder / "comparison.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_strategys_recipe_is_not_worth_a_mention(tmp_path):
    for strategy in runs.RECIPES:
        runs.write(tmp_path / strategy, strategy)
    assert {row.label for row in table_of(tmp_path).rows} == {f"strategy={name}" for name in runs.RECIPES}


def test_settings_are_shown_where_rows_of_a_strategy_differ_or_where_they_were_typed(tmp_path):
    runs.write(tmp_path / "a", "qat")
    runs.write(tmp_path / "b", "qat", lr=0.01)
    runs.write(tmp_path / "c", "frozen")
    runs.write(tmp_path / "d", "quantized", lr=0.05, overrides=["optim.lr=0.05"])
    assert {row.label for row in table_of(tmp_path).rows} == {
        "strategy=qat optim.lr=0.001", "strategy=qat optim.lr=0.01", "strategy=frozen",
        "strategy=quantized optim.lr=0.05",
    }  # fmt: skip


def test_seeds_are_pooled_and_their_photos_counted_once(tmp_path):
    for seed, wrong in enumerate([{0}, {0, 1}, {0, 1, 2}]):
        runs.write(tmp_path / str(seed), seed=seed, wrong=wrong)
    (row,) = table_of(tmp_path).rows
    assert row.accuracy.mean == pytest.approx(0.8) and row.accuracy.deviation == pytest.approx(0.1)
    assert row.photo_count == 10
    assert row.interval == pytest.approx((0.490, 0.943), abs=5e-4)
    assert row.photos.recall() == pytest.approx({"ants": 1 - 4 / 15, "bees": 1 - 2 / 15})


def test_a_rerun_is_no_second_seed(tmp_path):
    runs.write(tmp_path / "a", wrong={0})
    runs.write(tmp_path / "b", wrong={0, 1, 2})
    runs.write(tmp_path / "c", wrong={0, 1}, seed=1)
    (row,) = table_of(tmp_path).rows
    assert row.accuracy.count == 2 and row.accuracy.deviation == pytest.approx(0)
    assert row.photos.right.sum() / row.photos.scale / 10 == pytest.approx(0.8)
    assert row.notes == ["1 duplicate"]
    assert "1 duplicate" in comparison.compare([tmp_path])


def test_folds_of_a_seed_make_one_result(tmp_path):
    photos = runs.names(50)
    for seed in range(2):
        for fold in range(5):
            part = photos[fold::5]
            runs.write(
                tmp_path / f"{seed}-{fold}", seed=seed, photos=part, wrong={0} if fold < 2 + seed else set(),
                fold={"folds": 5, "fold": fold},
            )  # fmt: skip
    (row,) = table_of(tmp_path).rows
    assert row.photo_count == 50 and row.accuracy.count == 2
    assert (row.accuracy.low, row.accuracy.high) == pytest.approx((0.94, 0.96))
    assert row.notes == []


def test_other_splits_of_the_same_photos_have_a_table_of_their_own(tmp_path):
    """With and without photos set aside for a test, accuracies are not of the same photos."""
    runs.write(tmp_path / "all")
    runs.write(tmp_path / "aside", fold={"folds": None, "fold": None, "test_fraction": 0.2})
    runs.write(tmp_path / "fold", fold={"folds": 2, "fold": 0, "test_fraction": 0.0})
    found = find([tmp_path])
    titles = sorted(table.title for table in grouping.tables(found.runs))
    assert len(titles) == 3
    assert sum("20% of all set aside for a test" in title for title in titles) == 1
    assert sum("folds" in title for title in titles) == 1
    runs.write(tmp_path / "other", fold={"folds": 2, "fold": 1, "test_fraction": 0.0})
    for number, more in enumerate(({"val_fraction": 0.2}, {"val_fraction": 0.3}, {"split_seed": 1}, {"group": "a+"})):
        runs.write(tmp_path / f"more{number}", fold={"folds": 2, "fold": 0} | more)
    assert len(grouping.tables(find([tmp_path]).runs)) == 7  # folds of one split share theirs


def test_a_missing_fold_is_said(tmp_path):
    for fold in (0, 1, 3):
        runs.write(tmp_path / str(fold), photos=runs.names(50)[fold::5], fold={"folds": 5, "fold": fold})
    assert table_of(tmp_path).rows[0].notes == ["seed 0: 3 of 5 folds"]
    assert "Folds are MISSING" in comparison.compare([tmp_path])


def test_a_winner_alone_lacks_no_folds_and_chose_no_epoch(tmp_path):
    runs.write(tmp_path / "winner", photos=runs.names(50), fold={"folds": 5})
    said = comparison.compare([tmp_path / "winner"])
    assert "MISSING" not in said and "was chosen on" not in said and "Validation is out of fold" in said


def test_folds_of_different_size_count_by_their_photos(tmp_path):
    runs.write(tmp_path / "0", photos=runs.names(6), wrong={0, 1, 2}, fold={"folds": 2, "fold": 0})
    runs.write(tmp_path / "1", photos=runs.names(8)[6:], fold={"folds": 2, "fold": 1})
    assert table_of(tmp_path).rows[0].accuracy.mean == pytest.approx(5 / 8)


def test_two_runs_that_say_the_same_are_not_told_apart(tmp_path):
    for strategy in ("finetune", "frozen"):
        runs.write(tmp_path / strategy, strategy, wrong={3, 4})
    (pair,) = table_of(tmp_path).pairs
    assert (pair.difference, pair.p, pair.noise) == (0, 1, True)
    assert "strategy=finetune and strategy=frozen: equal on 10 photos" in comparison.compare([tmp_path])


def test_a_network_that_knows_one_class_only_is_told_from_a_good_one(tmp_path):
    photos = runs.names(153)
    bees = {i for i, (_, label) in enumerate(photos) if label == "bees"}
    runs.write(tmp_path / "good", "frozen", photos=photos, wrong={5, 6, 7})
    runs.write(tmp_path / "broken", "qat", photos=photos, wrong=bees)
    table = table_of(tmp_path)
    assert not table.pairs[0].noise and table.pairs[0].p < 1e-10
    assert table.rows[1].photos.recall() == {"ants": 1, "bees": 0}
    assert "strategy=frozen over strategy=qat by 47.7 points on 153 photos: more than noise" in comparison.compare(
        [tmp_path]
    )


def test_a_small_difference_is_called_noise(tmp_path):
    photos = runs.names(153)
    runs.write(tmp_path / "a", "frozen", photos=photos, wrong={0, 1, 2})
    runs.write(tmp_path / "b", "qat", photos=photos, wrong={2, 3, 4, 5, 6, 7, 8})
    said = comparison.compare([tmp_path])
    assert "strategy=frozen over strategy=qat by 2.6 points on 153 photos: within noise, p = 0.29" in said


def test_of_many_rows_each_is_tested_against_the_best_one_only(tmp_path):
    for i in range(14):
        runs.write(tmp_path / str(i), lr=0.001 * (i + 1), wrong=set(range(i % 5)), photos=runs.names(20))
    table = table_of(tmp_path)
    assert len(table.pairs) == 13 and {id(pair.first) for pair in table.pairs} == {id(table.rows[0])}
    assert "against the best row only" in table.pairs_note and "91 pairs" in table.pairs_note
    assert [row.accuracy.mean for row in table.rows] == sorted((row.accuracy.mean for row in table.rows), reverse=True)


@pytest.mark.parametrize("change", [{"digest": "e" * 64}, {"weights": "c" * 64}], ids=["data", "weights"])
def test_other_data_and_other_weights_have_a_table_of_their_own(tmp_path, change):
    runs.write(tmp_path / "a", "finetune")
    runs.write(tmp_path / "b", "frozen", **change)
    said = comparison.compare([tmp_path])
    (value,) = change.values()
    assert said.count("hymenoptera (") == 2 and f"sha256 {value[:12]}" in said
    assert len({line["table"] for line in lines_of(tmp_path)}) == 2


def test_random_weights_share_a_table_with_pretrained_ones_where_that_is_the_strategy(tmp_path):
    random = {"backbone": {"weights": "random", "digest": None}}
    runs.write(tmp_path / "a", "finetune")
    runs.write(tmp_path / "b", "scratch", more=random)
    assert {row.label for row in table_of(tmp_path).rows} == {"strategy=finetune", "strategy=scratch"}
    runs.write(tmp_path / "c", "frozen", more=random)
    split = [{row.label for row in table.rows} for table in grouping.tables(find([tmp_path]).runs)]
    assert split == [{"strategy=finetune"}, {"strategy=scratch", "strategy=frozen"}]


def test_another_optimizer_is_named_without_what_it_brings_along(tmp_path):
    runs.write(tmp_path / "a")
    adamw = runs.write(tmp_path / "b", overrides=["optim=adamw"])
    config = (adamw / ".hydra" / "config.yaml").read_text()
    (adamw / ".hydra" / "config.yaml").write_text(
        config.replace("optim.SGD", "optim.AdamW").replace("  momentum: 0.9\n", "")
    )
    assert {row.label for row in table_of(tmp_path).rows} == {"optim=SGD", "optim=AdamW"}


def test_a_row_without_what_others_have_says_so(tmp_path):
    for name, scheduler, weights in (("a", True, "auto"), ("b", True, None), ("c", False, "auto")):
        file = runs.write(tmp_path / name) / ".hydra" / "config.yaml"
        config = yaml.safe_load(file.read_text()) | {"loss": {"class_weights": weights}}
        file.write_text(yaml.safe_dump(config if scheduler else config | {"scheduler": None}))
    assert sorted(row.label for row in table_of(tmp_path).rows) == [
        "loss.class_weights=auto scheduler=StepLR",
        "loss.class_weights=auto scheduler=null",
        "loss.class_weights=null scheduler=StepLR",
    ]


def test_other_backbones_are_rows_of_one_table(tmp_path):
    runs.write(tmp_path / "a")
    runs.write(tmp_path / "b", more={"backbone": {"name": "mobilenet_v2", "digest": "c" * 64}})
    assert {row.label for row in table_of(tmp_path).rows} == {"backbone=resnet18", "backbone=mobilenet_v2"}


def test_a_fallback_is_said_loudly_everywhere(tmp_path):
    runs.write(tmp_path / "a", more={"dataset": {"fallback": "pictures DRAWN by hymtl, not photos"}})
    assert "!!! pictures DRAWN by hymtl" in comparison.compare([tmp_path])
    assert "**pictures DRAWN" in (tmp_path / "comparison.md").read_text()
    assert '<p class="warning">pictures DRAWN' in (tmp_path / "comparison.html").read_text()


def test_failed_unfinished_and_broken_runs_are_listed_and_the_rest_goes_on(tmp_path):
    runs.write(tmp_path / "good", "qat", seed=0)
    runs.write_failure(tmp_path / "bad", "ValueError: lr\nmore", ["strategy=qat", "seed=1"])
    (tmp_path / "running" / ".hydra").mkdir(parents=True)
    broken = runs.write(tmp_path / "broken", "frozen")
    (broken / "result.json").write_text('{"strategy": ')
    poor = runs.write(tmp_path / "poor", "frozen")
    (poor / "result.json").write_text("{}")
    said = comparison.compare([tmp_path])
    assert "1 finished run, 1 FAILED, 1 UNFINISHED, 2 UNREADABLE" in said
    assert "FAILED  strategy=qat seed=1: ValueError: lr" in said
    assert str(broken / "result.json") in said and "strategy: Field required" in said
    assert table_of(tmp_path).rows[0].notes == ["1 failed"]
    assert [line["status"] for line in lines_of(tmp_path)] == [
        "finished",
        "failed",
        "unreadable",
        "unreadable",
        "unfinished",
    ]


def test_failures_alone_are_a_comparison_too(tmp_path):
    runs.write_failure(tmp_path / "bad", "ValueError: lr", ["strategy=qat"])
    assert "0 finished runs, 1 FAILED" in comparison.compare([tmp_path])
    assert "ValueError: lr" in (tmp_path / "comparison.html").read_text()


def test_older_runs_without_predictions_keep_their_accuracy(tmp_path):
    runs.write(tmp_path / "a", "qat", wrong={0, 1})
    runs.write(tmp_path / "b", "frozen", wrong={0}, predictions=False, hydra=False)
    for file in ("a", "b"):
        result = json.loads((tmp_path / file / "result.json").read_text())
        for key in ("history", "threads"):
            del result[key]
        del result["seconds"]["photo"], result["dataset"]["root"]
        (tmp_path / file / "result.json").write_text(json.dumps(result))
    table = table_of(tmp_path)
    assert table.pairs == [] and [row.label for row in table.rows] == ["strategy=frozen", "strategy=qat"]
    assert table.rows[1].interval == pytest.approx((0.490, 0.943), abs=5e-4)
    assert "no predictions" in comparison.compare([tmp_path])


def test_what_bfloat16_saw_otherwise_is_no_other_run(fitted, tmp_path):
    """A network that validates in bfloat16 is deployed and scored in float32, where a photo may come out otherwise."""
    run = tmp_path / "copy"
    shutil.copytree(fitted("finetune").folder, run)
    record = json.loads((run / "result.json").read_text())
    deployed, photos = record["best"]["val_acc"], record["dataset"]["val"]
    record["best"]["val_acc"] += (1 if deployed < 0.5 else -1) / photos
    (run / "result.json").write_text(json.dumps(record))
    said = comparison.compare([run])
    assert "of another run" not in said and "no predictions" not in said
    (found,) = find([run]).runs
    assert found.result.accuracy == pytest.approx(deployed) and len(found.predictions) == photos


def test_predictions_of_another_run_are_left_out_and_named(tmp_path):
    run = runs.write(tmp_path / "a", wrong={0})
    runs.write_predictions(run, runs.names(10), {0, 1, 2})
    assert f"!!! {run / 'predictions.csv'} has an accuracy of 0.7000" in comparison.compare([tmp_path])
    (run / "predictions.csv").write_text("nonsense\n1,2")
    assert f"!!! {run / 'predictions.csv'} cannot be read" in comparison.compare([tmp_path])


def test_the_best_epochs_flattery_is_said_in_every_output_unless_there_is_a_test(tmp_path):
    runs.write(tmp_path / "a")
    said = comparison.compare([tmp_path])
    for words in (said, (tmp_path / "comparison.md").read_text(), (tmp_path / "comparison.html").read_text()):
        assert "chosen on the very photos that are scored here" in words


def test_a_test_accuracy_has_its_own_column(tmp_path):
    runs.write(tmp_path / "a", test=0.87)
    said = comparison.compare([tmp_path])
    assert "0.8700" in said and "test chose nothing" in said
    assert float(lines_of(tmp_path)[0]["test_accuracy"]) == 0.87


def test_the_csv_reads_back_in_full_precision(tmp_path):
    for seed, wrong in enumerate([{0}, {0, 1}, {1}]):
        runs.write(tmp_path / f"qat{seed}", "qat", seed=seed, wrong=wrong, photos=runs.names(30))
    comparison.compare([tmp_path], out=tmp_path / "new" / "folder")
    (line,) = lines_of(tmp_path / "new" / "folder")
    assert (line["row"], line["seeds"], line["runs"], line["photos"]) == ("strategy=qat", "3", "3", "30")
    assert float(line["accuracy"]) == pytest.approx(1 - 4 / 90, rel=1e-12)
    assert int(line["bytes"]) == 11_312_487


def test_a_folder_given_twice_counts_once(tmp_path):
    runs.write(tmp_path / "sweep" / "a")
    assert "1 finished run" in comparison.compare([tmp_path, tmp_path / "sweep", tmp_path / "sweep" / "a"])


def test_names_are_text_not_markup(tmp_path):
    nasty = "</script><img src=x onerror=alert(1)>|`{{data}}"
    photos = [(f"val/{nasty}{i}.jpg", label) for i, (_, label) in enumerate(runs.names(6))]
    runs.write(tmp_path / "a", photos=photos, overrides=[f"experiment={nasty}"])
    runs.write(tmp_path / "b", photos=photos, wrong={1})
    runs.write_failure(tmp_path / "c", nasty, [nasty])
    comparison.compare([tmp_path])
    page, markdown = ((tmp_path / f"comparison.{kind}").read_text() for kind in ("html", "md"))
    assert "<img src=x" not in page and page.count("</script>") == 2
    assert "\\|\\`" in markdown and "<img" not in markdown.replace("\\<", "")


def test_curves_have_the_numbers_of_their_epochs_and_old_runs_count_from_0(tmp_path):
    runs.write(tmp_path / "old")
    file = runs.write(tmp_path / "new", seed=1) / "result.json"
    record = json.loads(file.read_text()) | {"format": 2}
    record["history"] = {"epoch": [4, 5, 6], "train/loss": [0.3, float("nan"), 0.1], "val/loss": [None, 0.2, None]}
    file.write_text(json.dumps(record))
    comparison.compare([tmp_path])
    page = (tmp_path / "comparison.html").read_text()
    (table,) = json.loads(re.search(r'id="data">(.+?)</script>', page)[1])
    new, old = sorted(table["rows"][0]["curves"], key=len)
    assert new == {"train/loss": [[4, 6], [0.3, 0.1]], "val/loss": [[5], [0.2]]}
    assert old["val/loss"][0] == [0, 1, 2]


def test_nothing_to_compare_is_refused(tmp_path, capsys):
    with pytest.raises(HymtlError, match=r"No run in .*result\.json"):
        comparison.compare([tmp_path])
    assert cli.main(["compare", str(tmp_path)]) == 1
    assert cli.main(["compare", str(tmp_path / "missing")]) == 1
    assert "there is no such folder" in capsys.readouterr().err


def test_the_command_goes_on_past_failures(tmp_path, capsys):
    runs.write(tmp_path / "runs" / "a")
    runs.write_failure(tmp_path / "runs" / "b", "ValueError: lr", ["strategy=qat"])
    assert cli.main(["compare", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]) == 0
    assert "1 FAILED" in capsys.readouterr().out
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        f"comparison.{kind}" for kind in ("csv", "md", "html")
    }


def test_a_setting_that_another_stands_for_is_shown_as_the_number_it_is(tmp_path):
    import yaml

    for name, resize in (("a", "${.resize_at_224}"), ("b", 300)):
        folder = runs.write(tmp_path / name)
        file = folder / ".hydra" / "config.yaml"
        config = yaml.safe_load(file.read_text())
        config["data"] |= {"resize": resize, "resize_at_224": 256}
        config["epochs"], config["trainer"]["max_epochs"] = 3, "${epochs}"
        file.write_text(yaml.safe_dump(config))
    printed = comparison.compare([tmp_path])
    assert "data.resize=256" in printed and "data.resize=300" in printed and "${" not in printed


def test_a_commit_with_changes_is_told_from_the_commit(tmp_path):
    for seed, commit in enumerate(("1" * 40, "1" * 40 + "-dirty")):
        file = runs.write(tmp_path / str(seed), seed=seed) / "result.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"git": commit}))
    assert "The runs are of different code: 111111111111, 111111111111 with changes." in table_of(tmp_path).notes
