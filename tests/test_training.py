"""Training from Python, as a notebook does."""

import subprocess
import sys
from pathlib import Path

import pytest

import hymtl
from hymtl.errors import HymtlError

ROOT = Path(__file__).parent.parent
SMALL = [
    "strategy=frozen", "backbone=garment_cnn", "data=folder", "data.resize=28", "epochs=1", "data.workers=0",
    "trainer.enable_progress_bar=false", "trainer.accelerator=cpu", "~callbacks.pictures",
]  # fmt: skip


def test_a_run_from_python_is_one_that_the_command_line_goes_on_with(pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    run = hymtl.train(*SMALL, f"data.root={pictures}", folder=tmp_path / "run")
    assert run.folder == tmp_path / "run" and run.result.strategy == "frozen" and run.result.epochs == 1
    assert hymtl.load(run.folder)([str(next(Path(pictures).glob("val/*/*")))])[0].label in run.result.dataset.classes
    more = [sys.executable, "train.py", f"resume={run.folder}", "epochs=2"]
    done = subprocess.run(more, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "frozen  seed 0" in done.stdout, done.stderr


def test_a_wrong_setting_is_refused_from_python_as_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(hymtl.errors.HymtlError, match="Did you mean 'qat'"):
        hymtl.train("strategy=qatt")
    assert not list(tmp_path.iterdir())


def test_what_is_no_word_and_what_is_many_runs_is_refused():
    for wrong in (["strategy=frozen"], 3):
        with pytest.raises(HymtlError, match="is no word. Give words"):
            hymtl.train(wrong)
    with pytest.raises(HymtlError, match="is many runs"):
        hymtl.train("experiment=choose")
