"""Launchers: the same jobs side by side, each with its share of the machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from hymtl import records
from hymtl.records import result
from hymtl.runtime import JOBS
from hymtl.sweep import end, slots
from tests.compare import runs

ROOT = Path(__file__).parents[2]
SMALL = [
    "strategy=scratch", "backbone=garment_cnn", "data=folder", "data.resize=28", "epochs=1", "data.workers=1",
    "trainer.enable_progress_bar=false", "trainer.accelerator=cpu", "~callbacks.pictures", "seed=0,1",
]  # fmt: skip


def sweep(folder, pictures, *words):
    command = [sys.executable, "train.py", "-m", *SMALL, f"data.root={pictures}", f"hydra.sweep.dir={folder}", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HYMTL_HOME": str(folder.parent / "home")}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
    ("launcher", "package"), [("joblib", "joblib_launcher"), ("submitit_local", "submitit_launcher")]
)
def test_jobs_side_by_side_score_as_one_after_another(launcher, package, pictures, tmp_path):
    pytest.importorskip(f"hydra_plugins.hydra_{package}")
    scores = {}
    for name in ("basic", launcher):
        made = sweep(tmp_path / name, pictures, f"hydra/launcher={name}")
        assert made.returncode == 0, made.stderr
        assert made.stdout.count("comparison.md") == 1 and "ConfigStore" not in made.stderr
        found = [records.read(result.Result, file) for file in (tmp_path / name).glob("*/result.json")]
        scores[name] = sorted((run.seed, run.best.val_acc, run.best.val_loss) for run in found)
        assert len(found) == 2
    assert scores[launcher] == scores["basic"]


TAKE = """
import os, sys
from omegaconf import OmegaConf
from hymtl.sweep import slots
hydra = OmegaConf.create({"launcher": {"_target_": "x.JoblibLauncher", "n_jobs": 2}, "sweep": {"dir": sys.argv[1]}})
slot = slots.take(hydra)
assert slots.take(hydra) is slot
print(slot.index, os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.read()
"""


def test_each_job_has_a_gpu_of_its_own_and_a_dead_one_gives_it_back(tmp_path):
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "4,7", "PYTHONPATH": str(ROOT)}

    def start():
        command = [sys.executable, "-c", TAKE, str(tmp_path / "sweep")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        process = subprocess.Popen(command, env=environment, **pipes)
        return process, process.stdout.readline().strip()

    first, of_first = start()
    second, of_second = start()
    first.kill()
    first.wait()
    third, of_third = start()
    second.kill()
    third.kill()
    assert (of_first, of_second, of_third) == ("0 4", "1 7", "0 4")


def test_launchers_that_share_out_the_machine_themselves_are_left_alone(monkeypatch, tmp_path):
    monkeypatch.setenv(JOBS, "4")
    for target in ("x.SlurmLauncher", "x.RayLauncher", "x.BasicLauncher"):
        assert slots.take(OmegaConf.create({"launcher": {"_target_": target}, "sweep": {"dir": str(tmp_path)}})) is None


def test_a_sweep_that_is_cut_short_names_the_jobs_that_are_not_done(tmp_path, capsys):
    for name, file in (("done", "result.json"), ("failed", "failure.json"), ("killed", "job.json")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "job.json").write_text("{}")
        (tmp_path / name / file).write_text("{}")
    end.CompareAtTheEnd()._cut_short(tmp_path, os.getpid())
    said = capsys.readouterr().err
    assert "these jobs with it:\nkilled\n" in said and f"hydra.sweep.dir={tmp_path}" in said


def test_failures_are_named_where_the_comparison_cannot_be_written(tmp_path, capsys):
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "failure.json").write_text('{"error": "HymtlError: a reason"}')
    (tmp_path / "comparison.csv").mkdir()
    end.CompareAtTheEnd()._cut_short(tmp_path, os.getpid())
    said = capsys.readouterr().err
    assert "comparison.csv cannot be written" in said and "1 job failed. The same command with" in said


def test_a_comparison_that_cannot_be_written_fails_the_sweep_in_words(tmp_path, capsys):
    runs.write(tmp_path / "job")
    (tmp_path / "comparison.csv").mkdir()
    with pytest.raises(SystemExit, match="1"):
        end.CompareAtTheEnd().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}))
    said = capsys.readouterr().err
    assert said.startswith("hymtl: ") and "comparison.csv cannot be written" in said and "failed" not in said
