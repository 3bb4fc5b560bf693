"""Several processes score each photo once, whatever the strategy and the number of photos. Slow."""

import json
import os
import subprocess
import sys
from functools import cache

import pytest

from hymtl.data import drawn
from tests.conftest import ROOT

pytestmark = pytest.mark.slow
SWEPT = "finetune,frozen,quantized,qat"
STRATEGIES = (*SWEPT.split(","), "gradual")
GRADUAL = ["strategy.head_epochs=1", "strategy.backbone_lr=0"]
# Nothing is learned, so that what is scored is the same network however many processes there are.
STILL = [
    "backbone=efficientnet_lite0", "epochs=2", "optim.lr=0", "data.batch_size=2", "data.workers=0",
    "trainer.enable_progress_bar=false", "trainer.accelerator=cpu", "~callbacks.pictures",
    "trainer.limit_train_batches=2", "calibration=null", "data.augmentation=none",
]  # fmt: skip


def pictures_of(folder, photos):
    """So many to validate; those to train on are one and the same, so that ranges and statistics are no matter of
    which process has which."""
    drawn.write(folder, train=12, val=photos)
    first, *others = sorted((folder / "train").rglob("*.*"))
    for other in others:
        other.write_bytes(first.read_bytes())
    return folder


def train(*words):
    own = os.environ | {"OMP_NUM_THREADS": "1"}  # sums round by the number of threads
    done = subprocess.run([sys.executable, "train.py", *words], cwd=ROOT, env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def score(tmp_path_factory):
    """Accuracy and loss of each epoch of a strategy, by photos and processes, in a sweep of several or alone."""
    folder = tmp_path_factory.mktemp("processes")

    @cache
    def run(strategies, photos, devices, swept):
        made = folder / f"{strategies}-{photos}-{devices}-{swept}"
        pictures = folder / f"pictures-{photos}"
        pictures = pictures if pictures.is_dir() else pictures_of(pictures, photos)
        words = [*STILL, "data=folder", f"data.root={pictures}", f"trainer.devices={devices}"]
        words += GRADUAL if strategies == "gradual" else []
        if swept:
            train("-m", f"strategy={strategies}", *words, f"hydra.sweep.dir={made}")
        else:
            train(f"strategy={strategies}", *words, f"hydra.run.dir={made}/alone")
        found = [json.loads(file.read_text()) for file in made.glob("*/result.json")]
        return {run["strategy"]: run["history"] for run in found}

    return run


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("photos", "devices", "swept"),
    [(10, 2, True), (10, 3, True), (11, 2, True), (11, 3, True), (11, 2, False), (153, 2, False)],
)
def test_each_photo_counts_once(score, strategy, devices, photos, swept):
    asked = SWEPT if swept and strategy in SWEPT.split(",") else strategy
    alone, together = (score(asked, photos, count, swept)[strategy] for count in (1, devices))
    print(strategy, photos, devices, together["val/acc"], alone["val/acc"], together["val/loss"], alone["val/loss"])
    assert all(round(accuracy * photos, 3).is_integer() for accuracy in together["val/acc"])
    # Under qat two processes round a sum of gradients otherwise than one, and a photo on the edge may fall off.
    assert together["val/acc"] == pytest.approx(alone["val/acc"], abs=1.01 / photos if strategy == "qat" else 1e-6)
    assert together["val/loss"] == pytest.approx(alone["val/loss"], abs=1e-4)
