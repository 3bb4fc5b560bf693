"""Every command of README.md, and so of README.ko.md, run in order as a newcomer would paste them.

They are the words of README; put in are tiny drawn pictures (DIR, photo.jpg), the folder of a run (RUN), and settings
that make a training short. Two are only composed, by test_readme.py: a GPU and a Slurm are not everywhere. The test
command of README is what `.ci/run` begins with.
"""

import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from benchmarks import process
from hymtl.data import drawn

for module in ("captum", "onnxruntime", "uvicorn", "hydra_plugins.hydra_joblib_launcher"):
    pytest.importorskip(module, reason="the extra all")

ROOT = Path(__file__).parent.parent
NOT_HERE = ("trainer=gpu", "submitit_slurm", "pytest")
SERVERS = ("tensorboard", "hymtl serve")
# Of every training, whatever README gives it; then what makes one of its own short.
SHORT = (
    "backbone=efficientnet_lite0 data.workers=0 trainer.enable_progress_bar=false trainer.limit_train_batches=1 "
    "~callbacks.pictures"
)
SHORTER = {
    "experiment=choose": "choose.strategies=[probe,quantized_probe] data.folds=2",
    "trainer=ddp": "trainer.accelerator=cpu",
    "launcher=joblib": "hydra.launcher.n_jobs=2",
}


def lines():
    """The commands, in order."""
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    shown = [line.rpartition(" && ")[2].replace(".venv/bin/", "") for block in blocks for line in block.splitlines()]
    return [re.sub(r"\s+#.*", "", line) for line in shown if not any(word in line for word in NOT_HERE)]


def short(line, run):
    """A command with little to do."""
    line = re.sub(r"\bRUN\b", str(run), line)
    if line.startswith(SERVERS):
        return f"{line} --host 127.0.0.1 --port 0" if line.startswith("hymtl") else f"{line} --port 0"
    if not line.startswith("python train.py"):
        return line
    if "resume=" in line:
        return line.replace("epochs=30", "epochs=2")
    epochs = "" if "--cfg" in line else "epochs=1"
    data = "" if "data.root=" in line else "data=folder data.root=DIR"
    own = [words for name, words in SHORTER.items() if name in line]
    line = re.sub(
        r" seed=0,1[,\d]*", " seed=0,1" if "launcher" in line else " seed=0", re.sub(r" epochs=\d+", "", line)
    )
    return " ".join([line, epochs, data, SHORT, *own])


@pytest.fixture
def desk(tmp_path):
    """A checkout with a few pictures in it, and an environment whose first programs are those of this Python."""
    for name in ("conf", "hymtl", "hydra_plugins"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", tmp_path)
    drawn.write(tmp_path / "DIR", train=10, val=6)
    photo = next((tmp_path / "DIR" / "val").rglob("*.jpg"))
    shutil.copy(photo, tmp_path / "photo.jpg")
    (tmp_path / "folder").mkdir()
    shutil.copy(photo, tmp_path / "folder")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return tmp_path, os.environ | {"PATH": path, "PYTHONPATH": str(tmp_path), "HYMTL_HOME": str(tmp_path / "home")}


def serves(line, folder, environment):
    """Whether the command prints an address at which something answers."""
    with process.serving(["bash", "-c", f"exec {line}"], cwd=folder, env=environment) as address:
        return urllib.request.urlopen(address, timeout=30).status == 200


def test_every_command_of_readme_runs_in_order(desk):
    folder, environment = desk
    for line in lines():
        runs = sorted((folder / "outputs").glob("*-*-*/*/result.json"), key=lambda file: file.stat().st_mtime)
        asked = short(line, runs[-1].parent.relative_to(folder) if runs else "RUN")
        if line.startswith(SERVERS):
            assert serves(asked, folder, environment), asked
            continue
        done = subprocess.run(asked, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{asked}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert len(runs) >= 5 and (folder / "outputs" / "choose").is_dir()
