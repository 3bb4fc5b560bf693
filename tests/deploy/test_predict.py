"""hymtl.load and `hymtl predict`: every kind of picture, and files that are none."""

import json

import pytest
import torch
from PIL import Image
from torchvision.transforms.v2.functional import pil_to_tensor

import hymtl
from hymtl import cli
from hymtl.data import transforms
from hymtl.errors import HymtlError
from hymtl.records import predictions


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
        (tmp_path / "nothing.jpg", "nothing.jpg cannot be read"),
        ([None], "not NoneType"),
    ):
        with pytest.raises(HymtlError, match=message):
            predictor(wrong)
    with pytest.raises(HymtlError, match="there is no such folder"):
        hymtl.load(tmp_path / "nothing")
    with pytest.raises(HymtlError, match="no artifact of hymtl"):
        hymtl.load(tmp_path)


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
    torch.testing.assert_close(said, saved.softmax(dim=1), atol=1e-4, rtol=0)


def test_a_folder_of_nothing_is_an_error(fitted, tmp_path, capsys):
    (tmp_path / "bare").mkdir()
    assert cli.main(["predict", str(fitted("frozen").folder), str(tmp_path / "bare")]) == 1
    assert "no files" in capsys.readouterr().err
