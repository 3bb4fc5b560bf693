"""Every strategy learns what it should, from pretrained features, and keeps it in int8."""

from pathlib import Path

import pytest

from hymtl import experiment
from hymtl.data import drawn

STRATEGIES = ("finetune", "frozen", "quantized", "qat")


@pytest.fixture(scope="module")
def many_pictures(tmp_path_factory) -> Path:
    return drawn.write(tmp_path_factory.mktemp("drawn") / "pictures", train=60, val=40)


def run(config, *overrides):
    return experiment.run(config("trainer.enable_progress_bar=false", "data.workers=0", *overrides))


SLOW = pytest.mark.slow
DRAWN = [pytest.param("finetune", marks=SLOW), "frozen", "quantized", pytest.param("qat", marks=SLOW)]


@pytest.mark.parametrize("strategy", DRAWN)
def test_on_drawn_pictures(config, many_pictures, strategy):
    result = run(
        config, f"strategy={strategy}", "epochs=3", "data=folder", f"data.root={many_pictures}",
        "backbone=efficientnet_lite0",
    )  # fmt: skip
    assert result.best.val_acc >= 0.75
    if result.int8:
        assert result.int8.val_acc >= 0.75


@pytest.mark.second
def test_quantized_on_the_photos(config, photos, resnet18_weights):
    result = run(
        config, "strategy=quantized", "epochs=2", "data=hymenoptera", f"data.root={photos}", "backbone=resnet18",
        f"backbone.weights={resnet18_weights}",
    )  # fmt: skip
    assert result.int8.val_acc >= 0.90


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet18", "efficientnet_lite0"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_five_epochs_on_the_photos(config, photos, resnet18_weights, strategy, backbone):
    weights = f"backbone.weights={resnet18_weights if backbone == 'resnet18' else 'imagenet'}"
    result = run(
        config, f"strategy={strategy}", "epochs=5", "data=hymenoptera", f"data.root={photos}", f"backbone={backbone}",
        weights,
    )  # fmt: skip
    assert result.best.val_acc >= 0.90
    if result.int8:
        assert result.int8.val_acc >= 0.90
