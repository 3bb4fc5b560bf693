"""Sweeps: finished jobs skipped, broken ones resumed, failed ones kept apart, a comparison in any case."""

import csv
import json
import logging
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hymtl import experiment, fingerprint, records
from hymtl.backbones import get
from hymtl.callbacks.random_state import RandomState
from hymtl.compare import comparison
from hymtl.data.batches import PictureBatches
from hymtl.data.photos import read_folder
from hymtl.data.splits import arrange
from hymtl.deploy import artifact, evaluation
from hymtl.errors import HymtlError
from hymtl.files import write_whole
from hymtl.records.job import Job
from hymtl.sweep import job

ROOT = Path(__file__).parents[2]
EPOCHS = 3
SMALL = [
    "strategy=scratch", "backbone=garment_cnn", "data=folder", "data.resize=28", f"epochs={EPOCHS}", "data.workers=0",
    "trainer.enable_progress_bar=false", "trainer.accelerator=cpu", "~callbacks.pictures",
]  # fmt: skip
KILLED = """
import os, runpy, signal, sys
from hymtl.module import TransferModule

def die(self):
    if self.trainer.datamodule.pictures.seed == 1 and self.current_epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)

TransferModule.on_train_epoch_end = die
sys.argv = ["train.py", *sys.argv[1:]]
runpy.run_path("train.py", run_name="__main__")
"""


@pytest.fixture
def sweep(pictures, tmp_path, monkeypatch, capfd):
    """`python train.py -m OVERRIDES`, in this process: the exit code, and all that was printed."""
    compared = []
    monkeypatch.setattr(comparison, "compare", lambda folders, out: compared.append(folders) or f"compared {out}")
    handlers, level = logging.root.handlers[:], logging.root.level

    def run(*overrides, folder=tmp_path / "sweep"):
        words = [*SMALL, f"data.root={pictures}", "hydra.job.name=train", f"hydra.sweep.dir={folder}", *overrides]
        monkeypatch.setattr(sys, "argv", ["train.py", "-m", *words])
        capfd.readouterr()
        try:
            runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
            code = 0
        except SystemExit as stop:
            code = stop.code
        finally:
            logging.root.handlers[:] = handlers  # Hydra's own hold streams that pytest closes
            logging.root.setLevel(level)
        said = "".join(capfd.readouterr())
        return code, said

    run.compared = compared
    return run


def jobs(folder, name="result.json"):
    """The records of a sweep, by the part of the job's folder that tells it from the others."""
    return {file.parent: json.loads(file.read_text()) for file in sorted(folder.glob(f"*/{name}"))}


def repeatable(folder):
    """What of a run must not depend on how often it was cut short."""
    result = json.loads((folder / "result.json").read_text())
    del result["seconds"]
    state = torch.load(folder / "artifact" / "weights.pt", weights_only=True)
    weights = {name: tensor.tolist() for name, tensor in state.items()}
    return result, (folder / "predictions.csv").read_text(), weights


def of_seed(folder, seed):
    return next(folder.glob(f"*seed={seed},*"))


@pytest.mark.second
def test_killed_in_the_middle_and_run_again_equals_never_having_stopped(sweep, pictures, tmp_path):
    words = [*SMALL, f"data.root={pictures}", "hydra.job.name=train", f"hydra.sweep.dir={tmp_path}/sweep", "seed=0,1,2"]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-c", KILLED, "-m", *words]
    killed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=300)
    assert killed.returncode == -9, killed.stderr
    finished = of_seed(tmp_path / "sweep", 0) / "result.json"
    assert list(jobs(tmp_path / "sweep")) == [finished.parent]
    before = finished.stat()

    code, said = sweep("seed=0,1,2")
    assert code == 0, said
    assert "finished already, skipped" in said and "resumed after 2 of 3 epochs" in said and ": started" in said
    assert finished.stat().st_mtime_ns == before.st_mtime_ns
    assert sweep("seed=1,2", folder=tmp_path / "whole")[0] == 0
    for seed in (1, 2):
        assert repeatable(of_seed(tmp_path / "sweep", seed)) == repeatable(of_seed(tmp_path / "whole", seed))
    assert [len(folders) for folders in sweep.compared] == [3, 2]


def test_a_jobs_record_from_elsewhere_names_no_file_to_write(sweep, tmp_path):
    sweep("seed=0", "epochs=1")
    (folder,) = jobs(tmp_path / "sweep")
    record = json.loads((folder / "job.json").read_text())
    record |= {"config_hash": "other", "hydra": {"../../evil.yaml": "owned"}}
    (folder / "job.json").write_text(json.dumps(record))
    (folder / "result.json").unlink()
    sweep("seed=0", "epochs=2")
    assert not (tmp_path / "sweep" / "evil.yaml").exists() and not list(tmp_path.rglob("evil.yaml"))


def test_what_a_broken_job_left_is_used_or_started_over(sweep, tmp_path):
    sweep("seed=0")
    (folder,) = jobs(tmp_path / "sweep")
    whole = repeatable(folder)
    (folder / "result.json").unlink()  # killed after fitting, before the record
    code, said = sweep("seed=0")
    assert code == 0 and "resumed after 3 of 3 epochs" in said, said
    assert repeatable(folder) == whole

    (folder / "result.json").unlink()
    last = folder / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    code, said = sweep("seed=0")
    assert code == 0 and "last.ckpt is damaged" in said and ": started" in said, said
    assert repeatable(folder) == whole


def test_a_failed_job_leaves_the_others_and_is_tried_again(sweep, pictures, tmp_path):
    missing = tmp_path / "later"
    missing.mkdir()
    code, said = sweep(f"data.root={missing}", "seed=0")
    assert code == 1 and "1 job failed" in said and "has 0 class folders" in said and "Traceback" not in said
    missing.rmdir()
    shutil.copytree(pictures, missing)
    (missing / "train" / "ants" / "cut.jpg").write_bytes(b"no picture")
    code, said = sweep(f"data.root={missing}", "data.on_bad=error,skip", "seed=0")
    assert code == 1 and "1 job failed" in said
    assert list(jobs(tmp_path / "sweep")) == [next((tmp_path / "sweep").glob("*data.on_bad=skip*"))]
    found = jobs(tmp_path / "sweep", "failure.json").items()
    ((failed, failure),) = ((f, r) for f, r in found if "on_bad=error" in f.name)
    assert failure["error"].startswith("1 of 37 pictures are no use")
    assert "data.on_bad=error" in failure["overrides"]
    assert failed in sweep.compared[-1] and len(sweep.compared[-1]) == 3  # with the failure of before

    code, said = sweep(f"data.root={missing}", "data.on_bad=skip", "seed=0")
    assert code == 0 and "job failed" not in said, said  # failures of other attempts are theirs
    assert failed in jobs(tmp_path / "sweep", "failure.json")


def test_an_unforeseen_error_shows_its_traceback_and_counts_as_failure(sweep, monkeypatch, tmp_path):
    def broken(cfg):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(experiment, "run", broken)
    code, said = sweep("seed=0,1")
    assert code == 1 and said.count("Traceback") == 2 and "2 jobs failed" in said
    assert [r["error"] for r in jobs(tmp_path / "sweep", "failure.json").values()] == ["ZeroDivisionError: oh"] * 2


def test_an_interruption_ends_the_sweep_and_is_no_failure(sweep, monkeypatch, tmp_path):
    def interrupted(cfg):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep("seed=0,1")
    assert not jobs(tmp_path / "sweep", "failure.json") and not sweep.compared
    assert len(list((tmp_path / "sweep").glob("*/job.json"))) == 1


def test_two_jobs_do_not_share_a_folder(sweep, pictures, tmp_path):
    """Paths are no part of a job's folder name, so a sweep over them would have the second replace the first."""
    other = shutil.copytree(pictures, tmp_path / "other")
    code, said = sweep("seed=0", f"data.root={pictures},{other}")
    assert code == 1 and f"holds the result of other settings: data.root ({pictures}, now {other})" in said, said
    assert "hydra.sweep.subdir='${hydra.job.num}'" in said
    ((folder, _),) = jobs(tmp_path / "sweep").items()
    assert f"root: {pictures}\n" in (folder / ".hydra" / "config.yaml").read_text()
    code, said = sweep("seed=0")
    assert code == 0 and "skipped" in said and not (folder / "failure.json").exists()


def test_a_name_that_does_not_exist_stops_the_sweep_before_it_starts(sweep, tmp_path):
    code, said = sweep("strategy=scratch,scrach")
    assert code == 1 and "strategy=scrach is unknown. Did you mean 'scratch'?" in said
    assert not list((tmp_path / "sweep").glob("*/job.json"))


def test_the_name_of_a_job_begins_with_what_differs(sweep, tmp_path):
    code, said = sweep("strategy=scratch,finetune", "backbone.weights=null", "seed=0", "epochs=1")
    assert code == 0, said
    assert sorted(folder.name.partition(",")[0] for folder in jobs(tmp_path / "sweep")) == [
        "strategy=finetune",
        "strategy=scratch",
    ]


def test_folds_predict_every_photo_once_and_the_test_part_is_scored(sweep, pictures, tmp_path):
    code, said = sweep("data.folds=2", "data.fold=0,1", "data.test_fraction=0.25")
    assert code == 0 and "test accuracy" in said, said
    whole = read_folder(pictures)
    predicted = []
    for fold, (folder, result) in enumerate(jobs(tmp_path / "sweep").items()):
        split = {"folds": 2, "fold": fold, "val_fraction": None, "test_fraction": 0.25, "split_seed": 0, "group": None}
        assert result["data_split"] == split
        assert result["dataset"]["digest"] == whole.digest
        photos = arrange(whole, folds=2, fold=fold, test_fraction=0.25)
        with (folder / "predictions.csv").open() as file:
            predicted += [row["photo"] for row in csv.DictReader(file)]
        data = PictureBatches(photos, get("garment_cnn").preprocessing, resize=28, workers=0)
        score = evaluation.score(artifact.load(folder / "artifact").network, data.loader("test"))
        assert result["test"]["acc"] == pytest.approx(score.accuracy)
        assert result["test"]["loss"] == pytest.approx(score.loss)
        assert result["test"]["photos"] == len(photos.splits["test"]) == len(score.labels)
    everyone = {photo.name for split in whole.splits.values() for photo in split}
    assert len(predicted) == len(set(predicted))
    assert set(predicted) == everyone - {photo.name for photo in photos.splits["test"]}


def test_the_fingerprint_is_of_what_decides_the_result(config):
    def digest(*words, **elsewhere):
        cfg = config("data=folder", "data.root=photos", *words)
        for key, value in elsewhere.items():
            cfg[key] = value
        return fingerprint.digest(fingerprint.settings(cfg))

    assert digest() == digest(run_dir="/elsewhere", ckpt_path="last.ckpt") == digest("strategy=finetune")
    assert len({digest(), digest("seed=1"), digest("data.root=others"), digest("backbone.weights=other.pth")}) == 4


def test_a_number_is_the_same_however_it_is_written_but_to_lightnings_trainer():
    differences = fingerprint.differences
    assert differences({"optim": {"lr": 1.0}, "epochs": 2}, {"optim": {"lr": 1}, "epochs": 2.0}) == []
    assert differences({"seed": 1}, {"seed": True}) == ["seed (1, now True)"]
    before, now = ({"trainer": {"limit_train_batches": batches}} for batches in (1, 1.0))
    assert differences(before, now) == ["trainer.limit_train_batches (1, now 1.0)"]
    assert differences({}, {"younger": None}) == []


def test_a_job_of_the_same_numbers_goes_on(tmp_path):
    settings = {"optim": {"lr": 1.0}}
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    records.write(Job(config_hash=fingerprint.digest(settings), settings=settings), tmp_path / "job.json")
    assert job.check_same(tmp_path, {"optim": {"lr": 1}}) is None
    with pytest.raises(HymtlError, match=r"other settings: optim.lr \(1.0, now 2\)"):
        job.check_same(tmp_path, {"optim": {"lr": 2}})


def test_a_record_is_whole_or_not_there(tmp_path, monkeypatch):
    def full(source, target):
        raise OSError("no space left")

    file = tmp_path / "result.json"
    write_whole(file, "old")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(HymtlError, match="result.json cannot be written: no space left"):
        write_whole(file, "new")
    assert file.read_text() == "old"
    assert job._read(Job, tmp_path / "missing.json") is None


def test_a_search_keeps_what_it_found_and_goes_on(sweep, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    search = ["experiment=search/lr", "optim.lr=choice(-1,0.01)"]
    code, said = sweep(*search, "hydra.sweeper.n_trials=2")
    first = jobs(tmp_path / "sweep") | jobs(tmp_path / "sweep", "failure.json")
    assert len(first) == 2 and code == bool(jobs(tmp_path / "sweep", "failure.json")), said
    code, said = sweep(*search, "hydra.sweeper.n_trials=3")
    again = jobs(tmp_path / "sweep") | jobs(tmp_path / "sweep", "failure.json")
    assert len(again) == 3 and first.keys() < again.keys() and "skipped" in said, said


def test_a_search_without_its_extra_names_it(sweep):
    code, said = sweep("experiment=search/lr", "hydra.sweeper._target_=hydra_plugins.missing.Sweeper")
    assert code == 1 and 'pip install "hymtl[all]"' in said and "Traceback" not in said
    assert "settings checked" not in said  # known before jobs are looked at


def test_a_resumed_run_draws_the_dropout_it_would_have_drawn():
    state = RandomState().state_dict()
    expected = torch.rand(3)
    resumed = RandomState()
    resumed.load_state_dict(state)
    torch.rand(7)  # what building the network and the loaders drew
    resumed.on_train_start(None, None)
    assert torch.equal(torch.rand(3), expected)
