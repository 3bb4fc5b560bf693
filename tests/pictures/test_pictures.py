"""Three classes through every strategy, and the pictures that a run leaves."""

import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from matplotlib import rc_context, rcParams
from PIL import Image, ImageOps
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hymtl import experiment, strategies
from hymtl.deploy import artifact
from hymtl.pictures import figures, fonts

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


@pytest.mark.parametrize(("count", "many"), [(3, "99999"), (3, "123k"), (30, "999"), (30, "21k")])
def test_counts_of_any_number_of_photos_fit_into_their_cells(count, many):
    photos = int(many.replace("k", "456"))
    figure = figures.confusion(torch.full((count, count), photos), [f"c{i}" for i in range(count)], "")
    figures.pixels(figure)
    axes = figure.axes[0]
    cell = axes.get_window_extent().width / count
    assert {text.get_text() for text in axes.texts} == {many}
    assert all(text.get_window_extent().width <= cell for text in axes.texts)


def test_no_mistakes_is_a_picture_too():
    figure = figures.predictions(
        torch.empty(0, 3, 1, 1), torch.empty(0).long(), torch.empty(0, 2), ["a", "b"], "none", []
    )
    assert captions(figure) == []


@pytest.mark.parametrize("count", [1, 3, 37, 100])
def test_long_names_of_few_and_many_classes_do_not_overlap(count):
    """Every name lies beside or below the others', and the title within the figure and clear of the colour bar."""
    names = [f"a class name of thirty letters {index}" for index in range(count)]
    figure = figures.confusion(torch.eye(count, dtype=torch.int64) * 9, names, "143 of 153 validation photos right")
    figures.pixels(figure)
    matrix, bar = figure.axes
    down = [label.get_window_extent() for label in matrix.get_yticklabels()]
    across = [label.get_window_extent() for label in matrix.get_xticklabels()[:count]]
    assert all(one.y1 >= other.y1 and one.y0 >= other.y1 - 1 for one, other in pairwise(down))
    assert all(one.x1 <= other.x0 + 1 for one, other in pairwise(across))
    title = figure._suptitle.get_window_extent()
    above = [tick.label2.get_window_extent() for tick in matrix.xaxis.get_major_ticks() if tick.label2.get_visible()]
    assert not any(title.overlaps(name) for name in above)
    assert title.x0 >= 0 and title.x1 <= figure.bbox.width and not title.overlaps(bar.get_window_extent())


def test_letters_that_no_font_has_are_words_and_no_boxes(recwarn):
    shown = fonts.legible("개미 🐜 ant")
    assert shown.endswith(("[ant] ant", "🐜 ant")) and shown.startswith(("개미", "gaemi"))
    figures.pixels(figures.confusion(torch.eye(2).long(), ["개미 🐜", "꿀벌 🐝"], "蚁"))
    assert not [warning for warning in recwarn if "missing from" in str(warning.message)]


def test_families_that_no_text_needs_are_not_searched(monkeypatch):
    monkeypatch.setattr(fonts, "_families", lambda: [fonts.OWN, "Korean", "Emoji"])
    monkeypatch.setattr(fonts, "_family", lambda letter: "Korean" if letter == "개" else fonts.OWN)
    with rc_context():
        rcParams["font.family"] = [fonts.OWN]
        for text, families in (("ants", [fonts.OWN]), ("개", [fonts.OWN, "Korean"]), ("bees", [fonts.OWN, "Korean"])):
            figures.curves({"epoch": []}, 0, text)
            assert rcParams["font.family"] == families  # a figure with Korean letters may be drawn later than others


def test_a_curve_of_one_epoch_has_one_whole_number_below_it():
    history = {name: [0.5] for name in ("train/loss", "val/loss", "train/acc", "val/acc")} | {"epoch": [0]}
    figure = figures.curves(history, 0, "title")
    figures.pixels(figure)
    for axes in figure.axes:
        low, high = axes.get_xlim()
        assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [0]


def test_a_long_name_keeps_its_beginning_and_end():
    assert figures.shortened("IMG_20260101_123456_cover.jpg", 15) == "IMG_202\u2026ver.jpg"


def test_korean_letters_count_as_two_where_room_is_short():
    assert figures.shortened("장수풍뎅이와 호박벌", 19) == "장수풍뎅이와 호박벌"
    assert figures.shortened("장수풍뎅이와 호박벌", 12) == "장수\u2026호박벌"


def test_what_int8_cost_has_the_same_axes_in_every_run():
    step = {"lost": ["a"], "gained": [], "feature_cosine": {"mean": 0.99}}
    drawn = [
        figures.int8_cost(
            {"val_acc": {"float": best, "int8": best / 2}, "steps": [step], "worst_layers": []},
            {"float": size, "int8": size // 4},
            "title",
        )
        for best, size in ((0.9, 44_800_000), (0.5, 1_000))
    ]
    limits = [[(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes] for figure in drawn]
    assert limits[0] == limits[1]
