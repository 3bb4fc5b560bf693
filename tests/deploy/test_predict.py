"""hymtl.load and `hymtl predict`: every kind of picture, and files that are none."""

import csv
import io
import json
import os
from itertools import islice

import pytest
import torch
from PIL import Image
from torchvision.transforms.v2.functional import pil_to_tensor

import hymtl
from hymtl import cli
from hymtl.data import transforms
from hymtl.deploy.evaluation import probabilities
from hymtl.deploy.predict import Predictor
from hymtl.errors import HymtlError
from hymtl.records import predictions
from tests.deploy.artifacts import CLASSES, made


@pytest.fixture
def drawn_run(tmp_path):
    """The artifact of a small float network, untrained."""
    return made(tmp_path / "run", "finetune", "garment_cnn")


@pytest.fixture
def mixed(pictures, tmp_path):
    """An ant, a bee, a text named .jpg, an empty file."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for kind in ("ants", "bees"):
        source = sorted((pictures / "val" / kind).iterdir())[0]
        (folder / f"{kind}{source.suffix}").write_bytes(source.read_bytes())
    (folder / "text.jpg").write_text("not a picture")
    (folder / "empty").touch()
    return folder


def test_paths_images_and_tensors_say_the_same_as_validation_did(fitted, pictures):
    run = fitted("qat")
    predictor = hymtl.load(run.folder)
    recorded = predictions.read(run.folder / "predictions.csv")
    paths = [pictures / row.photo for row in recorded]
    for row, by_path in zip(recorded, predictor(paths), strict=True):
        assert (by_path.label, by_path.confidence) == (
            row.guess,
            pytest.approx(max(row.probabilities.values()), abs=1e-3),
        )
        assert sum(by_path.probabilities.values()) == pytest.approx(1)
    with Image.open(paths[0]) as image:
        tensor = pil_to_tensor(image.convert("RGB"))
        same = [predictor(str(paths[0])), predictor(image), predictor(tensor), *predictor(tensor[None])]
    assert all(prediction == same[0] for prediction in same)


def test_what_is_no_picture_is_refused(fitted, tmp_path):
    predictor = hymtl.load(fitted("frozen").folder)
    for wrong, message in (
        (torch.zeros(3, 8, 8), "not torch.float32"),
        (torch.zeros(8, 8, 3, dtype=torch.uint8), "1 or 3 channels"),
        (tmp_path / "nothing.jpg", "nothing.jpg: there is no such file"),
        ([None], "not NoneType"),
    ):
        with pytest.raises(HymtlError, match=message):
            predictor(wrong)
    with pytest.raises(HymtlError, match="there is no such folder"):
        hymtl.load(tmp_path / "nothing")
    with pytest.raises(HymtlError, match="no artifact of hymtl"):
        hymtl.load(tmp_path)


def test_other_things_than_pictures_are_refused_in_words(fitted, pictures):
    predictor = hymtl.load(fitted("frozen").folder)
    closed = Image.new("RGB", (30, 30))
    closed.close()
    for wrong in (None, 3, torch.zeros(3, 0, 0, dtype=torch.uint8), closed):
        with pytest.raises(HymtlError, match=r"picture|PIL image"):
            predictor(wrong)
    with pytest.raises(HymtlError, match="there is no such folder"):
        hymtl.load("")
    one = next((pictures / "val").rglob("*.jpg"))
    assert [file for file, _ in predictor.files(str(one))] == [file for file, _ in predictor.files([str(one)])] == [one]


def test_the_command_names_what_is_no_picture_and_goes_on(fitted, mixed, capsys, tmp_path):
    gallery = tmp_path / "new" / "gallery.png"
    assert cli.main(["predict", str(fitted("qat").folder), str(mixed), "--gallery", str(gallery)]) == 1
    said = capsys.readouterr()
    header, *rows = said.out.splitlines()
    assert header.split() == ["class", "confidence", "file"]
    assert [row.split()[2].rsplit("/", 1)[1][:4] for row in rows] == ["ants", "bees"]
    assert "text.jpg cannot be read" in said.err and "empty cannot be read" in said.err
    with Image.open(gallery) as image:
        assert min(image.size) > 200


@pytest.mark.skipif(os.name == "nt", reason="names have no such signs there")
def test_a_name_of_two_lines_is_one_row(drawn_run, pictures, capsys, tmp_path):
    one = next((pictures / "val").rglob("*.jpg"))
    (tmp_path / "two\nlines.jpg").write_bytes(one.read_bytes())
    assert cli.main(["predict", str(drawn_run), str(tmp_path / "two\nlines.jpg")]) == 0
    _, row = capsys.readouterr().out.splitlines()
    assert row.endswith("two\\nlines.jpg")


def test_json_is_for_machines(fitted, mixed, capsys):
    assert cli.main(["predict", "--json", str(fitted("frozen").folder), str(mixed)]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert [("error" in row, sorted(row)) for row in rows[:2]] == [
        (False, ["confidence", "file", "label", "probabilities"])
    ] * 2
    assert {row["file"].rsplit("/", 1)[1] for row in rows[2:]} == {"text.jpg", "empty"} and all(
        "error" in row for row in rows[2:]
    )


def test_good_pictures_alone_end_well_and_many_keep_their_order(fitted, pictures, capsys):
    assert cli.main(["predict", str(fitted("frozen").folder), str(pictures / "train")]) == 0
    files = [row.split()[2] for row in capsys.readouterr().out.splitlines()[1:]]
    assert files == sorted(files) and len(files) == 24  # more than a batch


def test_a_folder_says_the_same_as_its_pictures_one_by_one_and_leaves_the_threads(fitted, pictures):
    predictor, threads = hymtl.load(fitted("qat").folder), torch.get_num_threads()
    outcomes = list(predictor.files([pictures / "train"]))
    assert torch.get_num_threads() == threads
    for file, prediction in outcomes:  # up to the rounding of sums, which goes by batch and threads
        assert prediction.probabilities == pytest.approx(predictor(file).probabilities, abs=1e-5)


def test_folding_batch_norm_changes_no_probability(fitted, pictures):
    predictor = hymtl.load(fitted("finetune").folder)
    prepared = torch.stack([predictor.prepare(file) for file in sorted((pictures / "val").rglob("*.*"))])
    with torch.no_grad():
        saved = predictor.artifact.network(transforms.normalize(prepared, predictor.artifact.preprocessing))
    said = torch.tensor([list(prediction.probabilities.values()) for prediction in predictor.classify(prepared)])
    torch.testing.assert_close(said, probabilities(saved, predictor.artifact.temperature), atol=1e-4, rtol=0)


def test_a_folder_of_nothing_is_an_error(fitted, tmp_path, capsys):
    (tmp_path / "bare").mkdir()
    assert cli.main(["predict", str(fitted("frozen").folder), str(tmp_path / "bare")]) == 1
    assert "no files" in capsys.readouterr().err


def test_rows_come_one_by_one_as_csv_and_names_from_standard_input(drawn_run, mixed, capsys, monkeypatch):
    names = [*sorted(map(str, mixed.iterdir())), "gone.jpg", "a" * 300]
    names = [names[4], *names, names[1], "gone.jpg"]  # in any order, and twice
    typed = "\r\n".join(names).encode() + b"\n\n" + os.fsencode("caf\udce9.jpg")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed)))
    assert cli.main(["predict", "--csv", str(drawn_run), "-"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["file"] for row in rows] == [*names, r"caf\udce9.jpg"]
    assert [bool(row["error"]) for row in rows] == [True, False, False, *[True] * 4, False, True, True]
    assert rows[0]["error"] == rows[-2]["error"] == "gone.jpg: there is no such file or folder."
    assert sum(float(rows[1][f"p({name})"]) for name in CLASSES) == pytest.approx(1, abs=1e-5)


def test_an_interrupted_command_keeps_what_it_had_and_says_so(drawn_run, mixed, capsys, monkeypatch):
    def interrupted(self, paths):
        yield from islice(files(self, paths), 2)
        raise KeyboardInterrupt

    files = Predictor.files
    monkeypatch.setattr(Predictor, "files", interrupted)
    assert cli.main(["predict", "--json", str(drawn_run), str(mixed)]) == 130
    said = capsys.readouterr()
    assert len(json.loads(said.out)) == 2 and "interrupted after 2 pictures" in said.err


def test_a_gallery_of_many_has_the_first(drawn_run, pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli.predict, "GALLERY", 3)
    whole, first = tmp_path / "whole.png", tmp_path / "first.png"
    assert cli.main(["predict", str(drawn_run), str(pictures / "train"), "--gallery", str(first)]) == 0
    monkeypatch.undo()
    assert cli.main(["predict", str(drawn_run), str(pictures / "train"), "--gallery", str(whole)]) == 0
    with Image.open(first) as few, Image.open(whole) as all_of_them:
        assert few.width < all_of_them.width


def test_another_runtime_says_the_same_and_wants_its_file(drawn_run, pictures, capsys):
    pytest.importorskip("onnxruntime")
    photos = str(pictures / "val")
    assert cli.main(["predict", str(drawn_run), photos, "--runtime", "onnxruntime"]) == 1
    assert "hymtl export" in capsys.readouterr().err
    assert cli.main(["export", str(drawn_run), "--format", "onnx", "--photos", photos]) == 0
    capsys.readouterr()
    said = []
    for runtime in ("torch", "onnxruntime", "auto"):
        assert cli.main(["predict", str(drawn_run), photos, "--runtime", runtime]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] == said[2]
    assert cli.main(["predict", str(drawn_run), photos, "--runtime", "tensorrt"]) == 1
    assert "Choose from: auto, onnxruntime, openvino, torch" in capsys.readouterr().err
