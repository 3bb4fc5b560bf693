"""Training and prediction on a system that has nothing of Unix's but what Python has everywhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hymtl import files

ROOT = Path(__file__).parents[1]
# Before anything else is imported, what Windows lacks is taken away (but for what Python's own modules for Linux want),
# and worker processes are begun anew, as there and on macOS.
BARE = """
import multiprocessing, os, pathlib, signal, sys

for name in ("resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
del os.sched_getaffinity, os.sched_setaffinity, os.sysconf, os.memfd_create, signal.SIGHUP
opened = pathlib.Path.open

def open_elsewhere(self, *words, **options):
    if self.as_posix().startswith("/proc/"):
        raise FileNotFoundError(self)
    return opened(self, *words, **options)

pathlib.Path.open = open_elsewhere

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    import hymtl
    from hymtl.deploy import benchmark

    run = hymtl.train(*sys.argv[2:])
    (said,) = hymtl.load(run.folder)([sorted(pathlib.Path(sys.argv[1]).glob("val/*/*"))[0]])
    print(said.label, benchmark.cpu(), benchmark._peak())
"""


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_training_and_predicting_need_nothing_of_unix(workers, pictures, tmp_path):
    program = tmp_path / "bare.py"
    program.write_text(BARE)
    words = [
        pictures, "data=folder", f"data.root={pictures}", "strategy=finetune", "backbone=garment_cnn", "epochs=1",
        "backbone.weights=null", "data.resize=28", f"data.workers={workers}", "~callbacks.pictures",
        "trainer.enable_progress_bar=false",
    ]  # fmt: skip
    environment = os.environ | {"HYMTL_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, program, *words], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith(("ants ", "bees ")) and done.stdout.strip().endswith(" None")


def test_a_folder_is_put_in_place_where_no_folder_can_be_opened(tmp_path, monkeypatch):
    def opened(path, *words, opening=os.open, **options):
        if Path(path).is_dir():
            raise PermissionError(13, "Permission denied", str(path))  # as Windows says
        return opening(path, *words, **options)

    monkeypatch.setattr(os, "open", opened)
    beside = files.temporary(tmp_path / "set")
    (beside / "inner").mkdir(parents=True)
    (beside / "inner" / "file").write_text("whole")
    files.put_in_place(beside, tmp_path / "set")
    assert (tmp_path / "set" / "inner" / "file").read_text() == "whole"
