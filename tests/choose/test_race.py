"""experiment=choose: strategies cross-validated, one chosen, trained on all but the test part and scored there once."""

import contextlib
import json
import logging
import os
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf

import hymtl
from hymtl import checkpoints, records
from hymtl.callbacks.deadline import Deadline
from hymtl.choose import budget as budget_of_race
from hymtl.choose import jobs
from hymtl.choose import race as race_of_strategies
from hymtl.choose.budget import Budget
from hymtl.compare.rows import Row
from hymtl.data.photos import read_folder
from hymtl.data.splits import arrange
from hymtl.features import probe
from hymtl.features.batches import FeatureBatches
from hymtl.module import TransferModule
from hymtl.records import predictions
from hymtl.records.benchmark import Time
from hymtl.records.choice import Choice, Limits
from hymtl.records.result import Result
from hymtl.signals import OutOfTime
from hymtl.sweep import job, preflight

ROOT = Path(__file__).parents[2]
FOLDS, EPOCHS = 2, 2
SMALL = [
    "experiment=choose", "data=folder", "backbone=garment_cnn", "backbone.weights=null", "data.resize=28",
    f"epochs={EPOCHS}", f"data.folds={FOLDS}", "choose.strategies=probe,scratch", "data.workers=0", "logger=null",
    "trainer.enable_progress_bar=false", "trainer.accelerator=cpu", "~callbacks.pictures", "hydra.job.name=train",
]  # fmt: skip
KILLED = """
import os, runpy, signal, sys
from hymtl.module import TransferModule

def die(self):
    if self.strategy.name == "scratch" and self.current_epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)

TransferModule.on_train_epoch_end = die
sys.argv = ["train.py", *sys.argv[1:]]
runpy.run_path("train.py", run_name="__main__")
"""


def raced(pictures, folder, *words):
    """`python train.py -m experiment=choose ...` in this process: its exit code."""
    handlers, level, arguments = logging.root.handlers[:], logging.root.level, sys.argv
    sys.argv = ["train.py", "-m", *SMALL, f"data.root={pictures}", f"hydra.sweep.dir={folder}", *words]
    try:
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
        return 0
    except SystemExit as stop:
        return stop.code
    finally:
        sys.argv, logging.root.handlers[:] = arguments, handlers  # Hydra's own hold streams that pytest closes
        logging.root.setLevel(level)


@pytest.fixture(autouse=True)
def equally_fast(monkeypatch):
    """Two networks of one architecture, which a moment's noise may tell apart."""
    monkeypatch.setattr(Time, "differs", lambda *_: False)


@pytest.fixture(scope="module")
def race(pictures, tmp_path_factory):
    """The folder of a whole race."""
    folder = tmp_path_factory.mktemp("race") / "sweep"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Time, "differs", lambda *_: False)
        patch.setenv("HYMTL_HOME", str(tmp_path_factory.mktemp("home")))
        assert raced(pictures, folder) == 0
    return folder


def chosen(folder):
    return records.read(Choice, folder / "choice.json")


def result(folder):
    return records.read(Result, folder / "result.json")


def folds(folder, strategy):
    return [folder / f"{strategy}-fold{fold}" for fold in range(FOLDS)]


def test_every_strategy_is_cross_validated_and_one_is_chosen(race):
    made = chosen(race)
    assert {candidate.strategy for candidate in made.candidates} == {"probe", "scratch"}
    assert made.folds == FOLDS and made.sentences[0].startswith(f"Ship {made.chosen}: accuracy ")
    assert all(
        result(folder).data_split.fold is not None for folder in (*folds(race, "probe"), *folds(race, "scratch"))
    )


def test_no_fold_sees_the_test_part_and_the_winner_is_scored_on_it(race, pictures):
    aside = {photo.name for photo in arrange(read_folder(pictures), folds=2, test_fraction=0.2).splits["test"]}
    for folder in (*folds(race, "probe"), *folds(race, "scratch")):
        assert result(folder).test is None
        assert not aside & {guess.photo for guess in predictions.read(folder / "predictions.csv")}
    winner = result(race / "winner")
    assert winner.test.photos == len(aside) == chosen(race).test.photos and winner.test.acc == chosen(race).test.acc
    assert list(chosen(race).test.changed) == ["darkened", "blurred", "shifted", "recompressed"]


def test_the_winner_trains_on_all_else_and_its_validation_is_that_of_the_folds(race):
    made = chosen(race)
    winner, parts = result(race / "winner"), folds(race, made.of(made.chosen).strategy)
    assert winner.dataset.train == winner.dataset.val == sum(result(part).dataset.val for part in parts)
    assert winner.epochs == made.epochs and winner.best.epoch == made.epochs - 1
    said = {guess.photo: guess.guess for part in parts for guess in predictions.read(part / "predictions.csv")}
    rows = predictions.read(race / "winner" / "predictions.csv")
    assert {row.photo: row.guess for row in rows} == said
    assert sum(row.guess == row.label for row in rows) / len(rows) == pytest.approx(winner.accuracy)
    assert hymtl.load(race / "winner").artifact.temperature == pytest.approx(winner.calibration["float"].temperature)


def test_the_page_shows_the_choice_first_and_the_winner_is_no_row(race):
    page = (race / "comparison.html").read_text()
    assert page.index(chosen(race).sentences[0].split(":")[0]) < page.index("data-table")
    assert f"{2 * FOLDS} finished runs in 2 rows" in page


def test_the_same_command_again_finds_all_done_and_decides_alike(race, pictures, monkeypatch, tmp_path):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path))
    before = {file: file.stat().st_mtime_ns for file in race.rglob("result.json")}
    choice = chosen(race)
    assert raced(pictures, race) == 0
    assert {file: file.stat().st_mtime_ns for file in race.rglob("result.json")} == before
    again = chosen(race)
    assert (again.chosen, again.test, again.epochs) == (choice.chosen, choice.test, choice.epochs)


def test_a_winner_that_was_stopped_goes_on_from_its_last_epoch(race, pictures, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(Row, "agreed_epoch", EPOCHS - 1)

    begin = TransferModule.on_train_epoch_start

    def stop(module):
        if module.trainer.limit_val_batches == 0 and module.current_epoch == 1:
            raise KeyboardInterrupt
        begin(module)

    weights = []
    for name, stops in (("whole", False), ("stopped", True)):
        for fold in folds(race, "scratch"):
            shutil.copytree(fold, tmp_path / name / fold.name)
        if stops:
            with monkeypatch.context() as patch:
                patch.setattr(TransferModule, "on_train_epoch_start", stop)
                assert raced(pictures, tmp_path / name, "choose.strategies=scratch") != 0
        assert raced(pictures, tmp_path / name, "choose.strategies=scratch") == 0
        weights.append(torch.load(tmp_path / name / "winner" / "artifact" / "weights.pt", weights_only=True))
    assert "winner: resumed after 1 of 2 epochs" in "".join(capfd.readouterr())
    assert chosen(tmp_path / "stopped").test == chosen(tmp_path / "whole").test
    for key, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][key]), key


def test_a_winner_of_runs_that_validate_seldom_has_its_checkpoint(pictures, monkeypatch, tmp_path):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    words = ["choose.strategies=scratch", "+trainer.check_val_every_n_epoch=2"]
    assert raced(pictures, tmp_path / "sweep", *words) == 0
    assert chosen(tmp_path / "sweep").test


@pytest.mark.second
def test_a_test_part_that_another_choice_was_scored_on_is_called_so(race, pictures, monkeypatch, tmp_path, capfd):
    """Not for the same choice again."""
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    words = ["choose.strategies=probe", "epochs=1"]
    assert chosen(race).test.looks == []
    assert raced(pictures, tmp_path / "first", *words) == raced(pictures, tmp_path / "copy", *words) == 0
    assert chosen(tmp_path / "first").test.looks == chosen(tmp_path / "copy").test.looks == []
    capfd.readouterr()
    assert raced(pictures, tmp_path / "second", *words, "seed=1") == 0
    assert f"!!! the test part was scored before, for strategy=probe (1 epoch) in {tmp_path / 'copy'}" in "".join(
        capfd.readouterr()
    )
    made = chosen(tmp_path / "second")
    assert made.test.looks == [f"strategy=probe (1 epoch) in {tmp_path / 'copy'}"]
    assert any(said.startswith("Promised, by the folds alone") for said in made.sentences)
    assert any(said.startswith("Most of these photos were scored before, for ") for said in made.sentences)
    assert raced(pictures, tmp_path / "third", *words, "data.split_seed=1") == 0
    assert chosen(tmp_path / "third").test.looks == []


def test_a_probe_wins_whatever_is_said_of_epochs_that_it_has_not(pictures, monkeypatch, tmp_path):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    assert raced(pictures, tmp_path, "choose.strategies=probe", "epochs=6", "+trainer.check_val_every_n_epoch=2") == 0
    assert chosen(tmp_path).epochs == 1 and chosen(tmp_path).test


@pytest.mark.second
def test_a_test_part_of_the_folders_own_is_not_said_to_be_drawn_anew(pictures, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    root = shutil.copytree(pictures, tmp_path / "pictures")
    shutil.move(root / "val", root / "test")
    words = ["choose.strategies=probe", "epochs=1"]
    assert raced(root, tmp_path / "first", *words) == raced(root, tmp_path / "second", *words, "seed=1") == 0
    made = chosen(tmp_path / "second")
    assert made.test.own and made.test.looks
    assert any("Only a test part of photos that were never scored would tell." in said for said in made.sentences)
    assert "data.split_seed" not in "".join(capfd.readouterr()) + "".join(made.sentences)
    assert raced(root, tmp_path / "third", *words, "data.test_fraction=0.3") == 1
    assert "has a test part of its own, which the winner is scored on. Leave data.test_fraction out." in "".join(
        capfd.readouterr()
    )


def test_photos_that_come_in_groups_are_counted_by_groups(race, pictures, monkeypatch, tmp_path):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    words = ["choose.strategies=probe", "epochs=1", "data.group='\\d(?=\\.)'"]
    assert raced(pictures / "train", tmp_path / "sweep", *words) == 0
    (candidate,) = chosen(tmp_path / "sweep").candidates
    rows = [row for fold in folds(tmp_path / "sweep", "probe") for row in predictions.read(fold / "predictions.csv")]
    assert {row.group for row in rows} <= set("0123456789") and candidate.design >= 1
    assert "Photos of one group err alike" in (tmp_path / "sweep" / "comparison.md").read_text()


def test_folds_of_other_settings_are_refused_and_nothing_is_lost(race, pictures, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    shutil.copytree(race, tmp_path / "sweep")
    before = {file: file.read_bytes() for file in (tmp_path / "sweep").rglob("*.json") if file.name != "race.json"}
    assert raced(pictures, tmp_path / "sweep", "seed=7") == 1
    said = "".join(capfd.readouterr())
    assert "probe-fold0 holds the result of other settings: " in said and "seed (0, now 7)" in said
    assert {file: file.read_bytes() for file in before} == before


def test_folds_and_winners_of_other_pictures_are_refused(race, pictures, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    shutil.copytree(pictures, tmp_path / "fewer")
    shutil.copytree(race, tmp_path / "sweep")
    next((tmp_path / "fewer").rglob("*.jpg")).unlink()
    monkeypatch.setattr(job, "check_same", lambda *_: None)  # as if it were the same folder
    assert raced(tmp_path / "fewer", tmp_path / "sweep") == 1
    assert "probe-fold0 holds the result of other pictures" in "".join(capfd.readouterr())


def test_a_fold_whose_record_is_damaged_is_made_anew(race, pictures, monkeypatch, tmp_path):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    shutil.copytree(race, tmp_path / "sweep")
    file = tmp_path / "sweep" / "probe-fold1" / "result.json"
    file.write_text("{")
    assert raced(pictures, tmp_path / "sweep") == 0
    assert result(file.parent).accuracy == result(race / "probe-fold1").accuracy
    assert chosen(tmp_path / "sweep").test == chosen(race).test


def test_a_fold_that_lost_its_predictions_is_named_and_can_be_made_anew(race, pictures, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    shutil.copytree(race, tmp_path / "sweep")
    shutil.rmtree(tmp_path / "sweep" / "winner")
    shutil.rmtree(tmp_path / "sweep" / "scratch-fold1")
    (tmp_path / "sweep" / "scratch-fold0" / "predictions.csv").unlink()
    assert raced(pictures, tmp_path / "sweep") == 0
    assert "scratch-fold0 lost predictions.csv. Move that folder away" in "".join(capfd.readouterr())
    shutil.rmtree(tmp_path / "sweep" / "scratch-fold0")
    assert raced(pictures, tmp_path / "sweep") in (0, 1)  # the choice may now be another than the winner that is there
    assert {candidate.strategy for candidate in chosen(tmp_path / "sweep").candidates} == {"probe", "scratch"}


def test_a_choice_whose_record_is_damaged_is_made_anew(race, pictures, monkeypatch, tmp_path):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    shutil.copytree(race, tmp_path / "sweep")
    (tmp_path / "sweep" / "choice.json").write_text("{")
    assert raced(pictures, tmp_path / "sweep") == 0
    assert chosen(tmp_path / "sweep").test == chosen(race).test


def test_a_job_that_could_not_write_is_refused_before_any_begins(pictures, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "winner").write_text("in its way")
    assert raced(pictures, tmp_path / "sweep") == 1
    said = "".join(capfd.readouterr())
    assert f"{tmp_path / 'sweep' / 'winner'} cannot be written" in said and "Traceback" not in said
    assert not list((tmp_path / "sweep").glob("probe-*"))


def test_only_the_jobs_of_a_race_count_as_finished(race):
    cfg = OmegaConf.create({"hydra": {"sweep": {"dir": str(race)}}, "data": {"folds": FOLDS}, "choose": {}})
    for strategies, count in ((["probe", "scratch"], 2 * FOLDS), (["probe", "frozen"], FOLDS), (["frozen"], 0)):
        cfg.choose.strategies = strategies
        assert jobs.finished(cfg) == count


def test_networks_are_timed_together_again_where_a_fold_is_new(race, pictures, monkeypatch, tmp_path):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    shutil.copytree(race, tmp_path / "sweep")
    times = {file: file.read_bytes() for file in (tmp_path / "sweep").rglob("benchmark.json")}
    assert raced(pictures, tmp_path / "sweep") == 0
    assert {file: file.read_bytes() for file in times} == times and len(times) == 2
    os.utime(tmp_path / "sweep" / "scratch-fold1" / "result.json")
    assert raced(pictures, tmp_path / "sweep") == 0
    assert all(file.read_bytes() != before for file, before in times.items())


def test_a_choice_after_the_test_part_was_looked_at_is_refused(race, pictures, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path))
    made = chosen(race)
    other = {"probe": "scratch", "scratch": "probe"}[made.of(made.chosen).strategy]
    folder = tmp_path / "sweep"
    shutil.copytree(race, folder)
    record = json.loads((folder / "winner" / "result.json").read_text()) | {"strategy": other}
    (folder / "winner" / "result.json").write_text(json.dumps(record))
    assert raced(pictures, folder) == 1
    assert "a test part that was looked at already cannot judge it" in "".join(capfd.readouterr())


def test_nothing_is_trained_to_deploy_a_network_that_is_known_to_be_too_large(pictures, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    assert raced(pictures, tmp_path / "sweep", "choose.max_mb=0.01") == 1
    said = "".join(capfd.readouterr())
    assert "scratch: its network is that of probe: it weighs" in said
    assert [folder.name for folder in (tmp_path / "sweep").glob("*-fold*")] == ["probe-fold0"]


def test_hours_that_do_for_nothing_are_said_to(pictures, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    assert raced(pictures, tmp_path / "sweep", "choose.hours=0.00001") == 1
    said = "".join(capfd.readouterr())
    assert "No strategy was cross-validated in full" in said and "choose.hours=1e-05 is too short" in said
    assert not (tmp_path / "sweep" / "winner").exists()


def test_a_job_that_would_take_longer_than_it_may_is_stopped_and_has_not_failed(pictures, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(race_of_strategies, "_deadline", lambda *_: time.time() + 3600)
    words = ["choose.hours=1", "choose.strategies=scratch", "epochs=10000000"]
    assert raced(pictures, tmp_path / "sweep", *words) == 1
    said = "".join(capfd.readouterr())
    assert "scratch-fold0: stopped. It would end" in said and "stopped after 0 of 2 folds" in said
    assert "cut short" not in said
    assert not list(tmp_path.rglob("failure.json")) and not list(tmp_path.rglob("result.json"))


def test_computing_features_is_stopped_in_time_too(pictures, monkeypatch, tmp_path, capfd):
    def endless(self, batches):
        while True:
            with contextlib.suppress(Exception):  # as one who reads pictures, and calls bad what goes wrong
                time.sleep(0.01)

    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(FeatureBatches, "_run", endless)
    monkeypatch.setattr(race_of_strategies, "_deadline", lambda *_: time.time() + 3)
    (tmp_path / "sweep" / "probe-fold0").mkdir(parents=True)
    (tmp_path / "sweep" / "probe-fold0" / "failure.json").write_text('{"error": "an earlier one"}')
    assert raced(pictures, tmp_path / "sweep", "choose.hours=1", "choose.strategies=probe") == 1
    said = "".join(capfd.readouterr())
    assert "probe-fold0: stopped. Its share of choose.hours is used up." in said
    assert "stopped after 0 of 2 folds" in said and "an earlier one" not in said


def test_solving_a_head_says_nothing_of_the_epochs_that_follow(pictures, monkeypatch, tmp_path):
    solve = probe.solve_head
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(probe, "solve_head", lambda *words: time.sleep(1) or solve(*words))
    monkeypatch.setattr(race_of_strategies, "_deadline", lambda *_: time.time() + 60)
    words = ["choose.hours=1", "choose.strategies=probe", "epochs=100"]
    assert raced(pictures, tmp_path / "sweep", *words) == 0


@pytest.mark.parametrize(
    ("strategy", "seconds", "in_time"),
    [
        ("finetune", [50], True),  # nine epochs of half of it fit into the 400
        ("finetune", [90], False),
        ("finetune", [70, 10], True),
        ("finetune", [10, 60], False),
        ("frozen", [90, 90], True),  # features, which later epochs may find
        ("frozen", [300, 150], False),
    ],
)
def test_the_pace_is_that_of_epochs_like_those_to_come(strategy, seconds, in_time, monkeypatch):
    clock, epochs = 0.0, 10
    monkeypatch.setattr(time, "time", lambda: clock)
    data = SimpleNamespace(pictures="pictures", batches="pictures" if strategy == "finetune" else "features")
    deadline, stopped = Deadline(until=400.0), False
    for epoch, took in enumerate([0, *seconds]):
        clock += took
        try:
            trainer = SimpleNamespace(max_epochs=epochs, current_epoch=epoch, datamodule=data)
            deadline.on_train_epoch_start(trainer, None)
        except OutOfTime:
            stopped = True
    assert stopped is not in_time


def test_the_epoch_after_which_time_would_not_do_is_kept(pictures, monkeypatch, tmp_path):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(race_of_strategies, "_deadline", lambda *_: time.time() + 3600)
    monkeypatch.setattr(Deadline, "on_train_epoch_start", too_slow)
    assert raced(pictures, tmp_path / "sweep", "choose.hours=1", "choose.strategies=scratch") == 1
    last = checkpoints.read(tmp_path / "sweep" / "scratch-fold0" / "checkpoints" / "last.ckpt")
    assert last["epoch"] == 0


def too_slow(self, trainer, pl_module):
    if trainer.current_epoch:
        raise OutOfTime("It would end 7 seconds after choose.hours allows.")


def test_an_attempt_that_was_killed_counts_to_its_last_sign_of_life_wherever_its_folder_is_copied(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(budget_of_race, "BEAT", 0.01)
    budget = Budget(tmp_path, 1.0)
    budget.began -= 1000
    with budget.running():
        for _ in range(500):
            if Budget(tmp_path, 1.0).spent >= 1000:
                break
            time.sleep(0.01)
    os.utime(tmp_path / "race.json", (0, time.time() + 5000))
    assert Budget(tmp_path, 1.0).spent == pytest.approx(1000, abs=60)


@pytest.fixture
def hour(tmp_path, monkeypatch):
    """``hour(strategy, *seconds)``: what part of an hour the next of five folds has, after some of ``seconds``."""
    monkeypatch.setattr(race_of_strategies.timing, "end", lambda race: 0.0)

    def share(strategy, *seconds, features_gb=1.0):
        cfg = OmegaConf.create({"data": {"folds": 5, "features_gb": features_gb}, "choose": {"strategies": [strategy]}})
        for fold in range(len(seconds)):
            folder = tmp_path / strategy / jobs.folder(strategy, fold)
            folder.mkdir(parents=True)
            (folder / "result.json").touch()
        monkeypatch.setattr(race_of_strategies.result, "found", lambda folder: (folder / "result.json").is_file())
        monkeypatch.setattr(race_of_strategies.budget, "took", lambda folder: seconds[int(folder.name[-1])])
        race = race_of_strategies.Race(cfg, [], print, tmp_path / strategy, Limits(), Budget(tmp_path, 1.0))
        until = race_of_strategies._deadline(race, strategy, len(seconds), 1)
        return (until - time.time()) / race.budget.left()

    return share


def test_folds_that_compute_features_for_others_may_take_half_of_the_time(hour):
    assert hour("probe") == pytest.approx(1 / 2, abs=0.01)
    assert hour("finetune") == pytest.approx(1 / (5 + 1.25), abs=0.01)


def test_without_kept_features_each_fold_has_its_share(hour):
    assert hour("probe", features_gb=0.0) == pytest.approx(1 / (5 + 1.25), abs=0.01)


@pytest.mark.parametrize("earlier", [(1500,), (1500, 500)])
def test_what_features_took_once_does_not_count_against_the_folds_that_find_them(hour, earlier):
    assert hour("probe", *earlier) > 0.2
    assert hour("finetune", *earlier) == pytest.approx(0, abs=0.01)


def test_folds_that_find_features_and_are_slow_all_the_same_are_stopped(hour):
    assert hour("probe", 1500, 500, 1200) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["choose.margin=-1"], "choose.margin=-1: expected a number from 0 to below 1"),
        (["choose.hours=0"], "choose.hours=0: expected null or a number above 0"),
        (["choose.strategies=quantized_probe"], "Use another backbone, or a strategy that stays in float"),
        (["choose.strategies=probe,quantized_probe"], "1 of 2 choose.strategies cannot run"),
        (["choose.strategies=probe,quantized_probe"], "Leave them out of choose.strategies"),
        (["choose.strategies=partial", "strategy.stages=2"], "A race takes what all strategies have"),
        (["choose.strategies=probe,frosen"], "strategy=frosen is unknown. Did you mean 'frozen'?"),
        (["choose.strategies=probe,probe"], "expected a list of strategies, each once"),
        (["choose.max_sm=1"], "choose.max_sm"),
        (["data.val_fraction=0.2"], "data.folds=2 validates one fold: leave data.val_fraction out"),
        (["+trainer.fast_dev_run=true"], "+trainer.fast_dev_run keeps no result"),
        (["choose.hours=.inf"], "choose.hours=.inf: expected null or a number above 0"),
        (["choose.strategies=[probe,'']"], "choose.strategies=['probe', '']: expected a list of strategies"),
        (["data.folds=null"], "data.folds=null: experiment=choose decides by cross-validation"),
        (["strategy=qat"], "strategy is for experiment=choose to set"),
        (["strategy=qat,frozen"], "it tries choose.strategies=[probe,frozen,...]"),
        (["run_dir=elsewhere"], "in folders below hydra.sweep.dir. Leave run_dir out."),
        (["seed=0,1"], "seed=0,1: experiment=choose sweeps by itself"),
    ],
)
def test_nonsense_is_refused_before_anything_starts(pictures, tmp_path, capsys, words, said):
    with pytest.raises(SystemExit):
        preflight.refuse_or_announce(["-m", *SMALL, f"data.root={pictures}", *words], ROOT / "conf")
    assert said in capsys.readouterr().err


def test_a_race_without_its_settings_is_refused(capsys):
    with pytest.raises(SystemExit):
        preflight.refuse_or_announce(["-m", "experiment=choose", "choose=null"], ROOT / "conf")
    assert "Leave choose=null out." in capsys.readouterr().err


def test_too_few_photos_for_the_folds_are_refused_before_the_first_job(pictures, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    assert raced(pictures, tmp_path / "sweep", "data.folds=30") == 1
    assert "data.folds=30: class ants has " in "".join(capfd.readouterr())
    assert not list((tmp_path / "sweep").glob("probe-*"))


def test_a_race_without_a_test_part_is_refused_before_the_first_job(pictures, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    assert raced(pictures, tmp_path / "sweep", "data.test_fraction=0") == 1
    assert "Give data.test_fraction=0.2" in "".join(capfd.readouterr())
    assert not list((tmp_path / "sweep").glob("probe-*"))


@pytest.mark.parametrize("name", ["it's, a=b 꿀", "a ${b} %s", "{x}[y]", "n" * 250])
def test_whatever_the_pictures_folder_is_called_hydra_reads_the_races_folder_as_it_is(name):
    made = jobs.sweep_folder(["experiment=choose", "data=folder", f"data.root={name}"]).name
    assert not set(made) & set("'\"\\${}") and len(os.fsencode(made)) < 250


def test_the_same_command_has_the_same_folder_and_another_data_root_another():
    words = ["experiment=choose", "data=folder", "data.root=leaves"]
    assert jobs.sweep_folder(words) == jobs.sweep_folder(["choose.hours=2", *reversed(words)])
    assert jobs.sweep_folder(words) != jobs.sweep_folder([*words[:2], "data.root=other/leaves"])
    assert jobs.sweep_folder(words).name.startswith("leaves-")


@pytest.mark.slow
def test_killed_in_the_middle_and_run_again_equals_never_having_stopped(race, pictures, tmp_path):
    words = [*SMALL, f"data.root={pictures}", f"hydra.sweep.dir={tmp_path}/sweep"]
    environment = os.environ | {"HYMTL_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-c", KILLED, "-m", *words]
    killed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=300)
    assert killed.returncode == -9, killed.stderr
    assert raced(pictures, tmp_path / "sweep") == 0
    assert chosen(tmp_path / "sweep").test == chosen(race).test
    for name in ("scratch-fold0", "scratch-fold1", "winner"):
        again, whole = (folder / name / "predictions.csv" for folder in (tmp_path / "sweep", race))
        assert again.read_text() == whole.read_text()


@pytest.mark.slow
def test_finetuning_wins_on_real_digits_that_are_unlike_imagenet(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    from benchmarks import digits

    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    digits.write(tmp_path / "digits")
    words = ["choose.strategies=probe,finetune", "data.folds=5", "epochs=6", "optim.lr=1e-2", "data.augmentation=none"]
    assert raced(tmp_path / "digits", tmp_path / "sweep", *words) == 0
    made = chosen(tmp_path / "sweep")
    assert made.chosen == made.best == "strategy=finetune" and made.sure
    assert made.of("strategy=probe").gap.high < 0
