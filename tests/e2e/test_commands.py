"""The commands as a user types them, in processes of their own."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from hymtl import strategies

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shell(tmp_path):
    """Run a command line from the repository's root, offline, in a home of its own."""
    environment = os.environ | {
        "HYMTL_HOME": str(tmp_path / "home"),
        "TORCH_HOME": str(tmp_path / "torch"),
        "HYMTL_HYMENOPTERA_URL": "http://127.0.0.1:9/hymenoptera_data.zip",  # nobody listens there
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }

    def run(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
        )

    return run


def train(shell, folder, *overrides):
    return shell("train.py", f"hydra.run.dir={folder}", "trainer.enable_progress_bar=false", *overrides)


# One of each kind: what else is refused, and how, is asked in one process by the tests of the settings.
BAD_INPUT = [
    (["data=hymenoptera"], ["hymenoptera photos could not be found", "data.root=", "data=drawn"]),
    (["data=hymenoptera", "data.root=/nowhere"], ["/nowhere does not hold the hymenoptera photos"]),
    (["data=folder"], ["data.root"]),
    (["strategy=qta"], ["strategy=qta is unknown", "qat", "finetune"]),
    (["data=folder", "data.root={pictures}", "backbone=resnet18"], ["resnet18", "backbone=efficientnet_lite0"]),
    (
        ["data=folder", "data.root={pictures}", "backbone=efficientnet_lite0", "ckpt_path=missing.ckpt"],
        ["ckpt_path=missing.ckpt: there is no such file"],
    ),
]


@pytest.mark.second
def test_bad_input_ends_in_one_clear_message(shell, tmp_path, pictures):
    """Two commands at a time, as most of their time is the start of Python."""

    def refused(number):
        overrides, words = BAD_INPUT[number]
        done = train(shell, tmp_path / str(number), *(word.format(pictures=pictures) for word in overrides))
        said = done.stdout + done.stderr
        assert done.returncode != 0, overrides
        assert "Traceback" not in said, overrides
        assert [word for word in words if word not in said] == [], said

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(refused, range(len(BAD_INPUT))))


def test_train_then_predict(shell, tmp_path, pictures):
    """One run from the command line to a prediction, with the files that the README promises."""
    folder = tmp_path / "run"
    done = train(
        shell, folder, "strategy=qat", "optim.lr=5e-4", "scheduler.step_size=3", "epochs=1", "data.batch_size=8",
        "data=folder", f"data.root={pictures}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "backbone=auto fell back to efficientnet_lite0" in done.stderr + done.stdout
    assert f"tensorboard --logdir {folder}" in done.stdout and "int8 val accuracy" in done.stdout
    result = json.loads((folder / "result.json").read_text())
    assert (result["optim"]["lr"], result["scheduler"]["step_size"], result["batch_size"]) == (5e-4, 3, 8)
    assert "fell back" in result["backbone"]["fallback"]
    for name in (".hydra/config.yaml", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "artifact/artifact.json"):
        assert (folder / name).is_file(), name
    assert list(folder.glob("events.out.tfevents.*"))

    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    photo = tmp_path / "photo.png"
    Image.new("RGB", (300, 200), "green").save(photo)
    predicted = shell("-m", "hymtl.cli", "predict", str(folder), str(photo), str(broken), str(pictures / "val"))
    assert predicted.returncode == 1  # because of the broken one, and only after all others were done
    _, *lines = predicted.stdout.splitlines()
    assert len(lines) == 1 + 12 and all(line.split()[0] in ("ants", "bees") for line in lines)
    assert "broken.jpg cannot be read as a picture" in predicted.stderr and "Traceback" not in predicted.stderr


@pytest.mark.slow
def test_a_sweep_gives_each_job_a_folder(shell, tmp_path, pictures):
    done = shell(
        "train.py", "-m", f"hydra.sweep.dir={tmp_path}/sweep", "strategy=frozen", "seed=0,1", "epochs=1",
        "data=folder", f"data.root={pictures}", "backbone=resnet18", "backbone.weights=null",
        "trainer.enable_progress_bar=false",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = [json.loads(file.read_text()) for file in (tmp_path / "sweep").glob("*/result.json")]
    ran = sorted((record["strategy"], record["seed"]) for record in records)
    assert ran == [("frozen", 0), ("frozen", 1)]


def test_help_shows_choices_settings_and_examples(shell):
    done = shell("train.py", "--help")
    assert done.returncode == 0
    for word in (
        f"strategy: {', '.join(strategies.names())}",
        "batch_size: 4",
        "strategy=finetune,frozen,quantized,qat",
    ):
        assert word in done.stdout
