"""`hymtl explain`: the pixels that speak for a class are found, in float and, by the float twin, in int8."""

import pytest
import torch
from PIL import Image

import hymtl
from hymtl import cli
from tests.deploy.artifacts import made

pytest.importorskip("captum")


@pytest.mark.parametrize(("strategy", "backbone"), [("finetune", "garment_cnn"), ("ptq", "efficientnet_lite0")])
def test_a_picture_is_explained_as_png_and_for_tensorboard(strategy, backbone, pictures, tmp_path, capsys):
    run = made(tmp_path / "run", strategy, backbone)
    photo = sorted((pictures / "val").rglob("*.*"))[0]
    assert cli.main(["explain", str(run), str(photo), str(photo), str(tmp_path / "nothing.jpg")]) == 1
    said = capsys.readouterr()
    assert ("explained by the float network" in said.out) == (strategy == "ptq") and "nothing.jpg" in said.err
    drawn = sorted((run / "explained").glob("*.png"))
    assert [file.name for file in drawn] == [f"{photo.stem}-2.png", f"{photo.stem}.png"]
    size = hymtl.load(run).artifact.preprocessing.size
    with Image.open(drawn[0]) as image:
        assert image.size == (2 * size, size)
    assert list((run / "explained").glob("events*"))


def test_heat_lies_where_the_network_looks(tmp_path):
    from hymtl.deploy.explanation import Explainer

    loaded = hymtl.load(made(tmp_path / "run", "finetune", "resnet18")).artifact
    picture = torch.zeros(3, 224, 224, dtype=torch.uint8)
    picture[:, :64, :64] = torch.randint(0, 255, (3, 64, 64), dtype=torch.uint8)
    explain = Explainer(loaded)
    heats = [explain(picture, label) for label in range(3)]
    assert all(heat.shape == (224, 224) and heat.min() >= 0 and heat.max() <= 1 + 1e-6 for heat in heats)
    assert any(heat.max() > 0 for heat in heats)


def test_pictures_of_a_folder_are_explained_and_others_named(pictures, tmp_path, capsys):
    run, folder = str(made(tmp_path, "finetune", "garment_cnn")), tmp_path / "folder"
    folder.mkdir()
    (folder / "text.jpg").write_text("no picture")
    (folder / "ant.png").write_bytes(next((pictures / "val" / "ants").iterdir()).read_bytes())
    assert cli.main(["explain", run, str(folder), str(tmp_path / "lost.jpg")]) == 1
    said = capsys.readouterr()
    assert (tmp_path / "explained" / "ant.png").is_file() and "ant.png" in said.out
    assert "text.jpg cannot be read as a picture" in said.err
    assert f"{tmp_path}/lost.jpg: there is no such file or folder." in said.err
