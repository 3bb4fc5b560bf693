"""experiment=choose: strategies cross-validated, one chosen, trained on all but the test part and scored there once."""

import json
import logging
import os
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import hymtl
from hymtl import records
from hymtl.choose import jobs
from hymtl.choose import race as race_of_strategies
from hymtl.choose.budget import Budget
from hymtl.data.photos import read_folder
from hymtl.data.splits import arrange
from hymtl.records import predictions
from hymtl.records.choice import Choice, Limits
from hymtl.records.result import Result
from hymtl.sweep import preflight

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


@pytest.fixture(scope="module")
def race(pictures, tmp_path_factory):
    """The folder of a whole race."""
    folder = tmp_path_factory.mktemp("race") / "sweep"
    with pytest.MonkeyPatch.context() as patch:
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


def test_a_choice_after_the_test_part_was_looked_at_is_refused(race, pictures, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path))
    made = chosen(race)
    other = {"probe": "scratch", "scratch": "probe"}[made.of(made.chosen).strategy]
    folder = tmp_path / "sweep"
    shutil.copytree(race, folder)
    record = json.loads((folder / "winner" / "result.json").read_text()) | {"strategy": other}
    (folder / "winner" / "result.json").write_text(json.dumps(record))
    assert raced(pictures, folder) == 1
    assert "a test part that was looked at before a choice is none" in "".join(capfd.readouterr())


def test_hours_that_do_for_nothing_are_said_to(pictures, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    assert raced(pictures, tmp_path / "sweep", "choose.hours=0.00001") == 1
    said = "".join(capfd.readouterr())
    assert "No strategy was cross-validated in full" in said and "choose.hours=1e-05 would not do" in said
    assert not (tmp_path / "sweep" / "winner").exists()


def test_a_job_that_would_take_longer_than_it_may_is_stopped_and_has_not_failed(pictures, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(race_of_strategies, "_deadline", lambda *_: time.time() + 0.02)
    assert raced(pictures, tmp_path / "sweep", "choose.hours=1", "choose.strategies=scratch") == 1
    said = "".join(capfd.readouterr())
    assert "scratch-fold0: stopped. It would end" in said and "stopped after 0 of 2 folds" in said
    assert not list(tmp_path.rglob("failure.json")) and not list(tmp_path.rglob("result.json"))


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
        (["choose.strategies=probe,frosen"], "strategy=frosen is unknown. Did you mean 'frozen'?"),
        (["choose.strategies=probe,probe"], "expected a list of strategies, each once"),
        (["choose.max_sm=1"], "choose.max_sm"),
        (["data.val_fraction=0.2"], "data.folds=2 validates one fold: leave data.val_fraction out"),
        (["data.folds=null"], "data.folds=null: experiment=choose decides by cross-validation"),
        (["strategy=qat"], "strategy is for experiment=choose to set"),
        (["seed=0,1"], "seed=0,1: experiment=choose sweeps by itself"),
    ],
)
def test_nonsense_is_refused_before_anything_starts(pictures, tmp_path, capsys, words, said):
    with pytest.raises(SystemExit):
        preflight.refuse_or_announce(["-m", *SMALL, f"data.root={pictures}", *words], ROOT / "conf")
    assert said in capsys.readouterr().err


def test_too_few_photos_for_the_folds_are_refused_before_the_first_job(pictures, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    assert raced(pictures, tmp_path / "sweep", "data.folds=30") == 1
    assert "data.folds=30: class ants has " in "".join(capfd.readouterr())
    assert not list((tmp_path / "sweep").glob("probe-*"))


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
