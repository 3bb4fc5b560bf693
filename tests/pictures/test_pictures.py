"""Three classes through every strategy, and the pictures that a run leaves."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageOps
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hymtl import experiment, strategies
from hymtl.deploy import artifact
from hymtl.pictures import figures

PICTURES = {"batch", "predictions", "mistakes", "confusion", "curves"}


@pytest.fixture(scope="module")
def three_classes(tmp_path_factory, pictures):
    """The drawn ants and bees, and negatives of both as a third class."""
    root = shutil.copytree(pictures, tmp_path_factory.mktemp("three") / "pictures")
    for split, count in (("train", 6), ("val", 3)):
        folder = root / split / "negatives"
        folder.mkdir()
        for kind in ("ants", "bees"):
            files = sorted((root / split / kind).iterdir())
            for file in files[count:]:
                file.unlink()
            with Image.open(files[0]) as image:
                ImageOps.invert(image).save(folder / f"{kind}.jpg")
    return root


# Those that differ in nothing else from others here: in the slow suite.
ALIKE = ("scratch", "gradual", "partial")
CASES = [pytest.param(name, marks=pytest.mark.slow) if name in ALIKE else name for name in strategies.names()]


@pytest.mark.parametrize("strategy", CASES)
def test_three_classes_and_their_pictures(config, three_classes, strategy):
    cfg = config(
        f"strategy={strategy}", "data=folder", f"data.root={three_classes}", "backbone=resnet18",
        "backbone.weights=null", "epochs=1", "data.workers=0", "trainer.enable_progress_bar=false",
    )  # fmt: skip
    result = experiment.run(cfg)
    folder = Path(cfg.run_dir)
    assert result.dataset.classes == ["ants", "bees", "negatives"]
    loaded = artifact.load(folder / "artifact")
    assert loaded.classes == ["ants", "bees", "negatives"]
    assert loaded.network(torch.zeros(1, 3, 224, 224)).shape == (1, 3)
    expected = PICTURES | ({"int8_cost"} if result.int8 else set())
    for name in expected:
        with Image.open(folder / "pictures" / f"{name}.png") as image:
            assert min(image.size) > 200
    logged = set(EventAccumulator(str(folder)).Reload().Tags()["images"])
    assert logged == {f"pictures/{name}" for name in expected}


def test_one_override_switches_the_pictures_off(config, three_classes):
    cfg = config(
        "strategy=frozen", "~callbacks.pictures", "data=folder", f"data.root={three_classes}", "backbone=resnet18",
        "backbone.weights=null", "epochs=1", "data.workers=0", "trainer.enable_progress_bar=false",
    )  # fmt: skip
    experiment.run(cfg)
    assert not (Path(cfg.run_dir) / "pictures").exists()


def captions(figure):
    return [(text.get_text(), text.get_color()) for text in figure.texts if text.get_text() != figure.get_suptitle()]


def test_predictions_mark_right_and_wrong_with_confidence():
    pictures = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    probabilities = torch.tensor([[0.9, 0.1], [0.25, 0.75]])
    figure = figures.predictions(
        pictures, torch.tensor([0, 0]), probabilities, ["ants", "bees"], "title", ["", "float: ants"]
    )
    assert captions(figure) == [("ants 90%", figures.RIGHT), ("float: ants\nbees 75%\nis ants", figures.WRONG)]


def test_the_confusion_matrix_has_the_true_class_in_rows():
    figure = figures.confusion(torch.tensor([[5, 1], [0, 7]]), ["ants", "bees"], "title")
    axes = figure.axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "5", (1, 0): "1", (0, 1): "0", (1, 1): "7"}
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true", "predicted")


def test_no_mistakes_is_a_picture_too():
    figure = figures.predictions(
        torch.empty(0, 3, 1, 1), torch.empty(0).long(), torch.empty(0, 2), ["a", "b"], "none", []
    )
    assert captions(figure) == []
