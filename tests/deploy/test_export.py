"""`hymtl export`: each format in its own runtime says what the artifact says, or the command fails."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hymtl
from hymtl import cli
from hymtl.deploy import agreement, export, whole
from hymtl.quantization import eager
from tests.deploy.artifacts import CLASSES, made

pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")
DOCS = Path(__file__).parents[2] / "docs" / "export.md"


@pytest.fixture(scope="module")
def float_run(tmp_path_factory):
    return made(tmp_path_factory.mktemp("float"), "finetune", "garment_cnn")


@pytest.fixture(scope="module")
def int8_run(tmp_path_factory):
    return made(tmp_path_factory.mktemp("int8"), "ptq", "efficientnet_lite0")


@pytest.fixture(scope="module")
def seven_bits_run(tmp_path_factory):
    """As a CPU makes it whose sums would overflow with 8."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eager, "overflows", lambda engine: True)
        return made(tmp_path_factory.mktemp("seven"), "ptq", "efficientnet_lite0", gain=3)


def command(run, pictures, *more):
    return cli.main(["export", str(run), "--photos", str(pictures / "val"), *more])


@pytest.mark.parametrize("name", export.names())
def test_a_float_file_says_the_same_in_its_runtime_and_who_it_is(name, float_run, pictures, tmp_path, capsys):
    assert command(float_run, pictures, "--format", name, "--out", str(tmp_path)) == 0
    assert "12 photos: 0 classes changed" in capsys.readouterr().out
    facts = export.module(name).facts(tmp_path / export.module(name).FILE)
    assert json.loads(facts["classes"]) == CLASSES
    assert (facts["resize"], facts["crop"], facts["data_sha256"]) == ("60", "28", "d" * 64)
    assert facts["interpolation"].startswith("bilinear") and len(facts["weights_sha256"]) == 64
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize(
    ("made_with", "name"),
    [*(("int8_run", name) for name in ("onnx", "openvino", "torchscript")),
     *(("seven_bits_run", name) for name in ("onnx", "torchscript"))],
)  # fmt: skip
def test_an_int8_file_of_quantizer_eager_differs_by_rounding(made_with, name, request, pictures, capsys):
    run = request.getfixturevalue(made_with)
    assert command(run, pictures, "--format", name) == 0
    said = capsys.readouterr().out
    assert float(re.search(r"largest change of a probability (\S+),", said).group(1)) < 0.05
    assert (run / "export" / export.module(name).FILE).is_file()


def test_int8_kernels_run_in_onnx_runtime(int8_run, pictures, tmp_path):
    import onnx
    import onnxruntime

    assert command(int8_run, pictures, "--format", "onnx", "--out", str(tmp_path)) == 0
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "optimized.onnx"), 3
    onnxruntime.InferenceSession(tmp_path / "model.onnx", options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert kinds.count("QLinearConv") == 49 and "Conv" not in kinds


def test_what_cannot_be_exported_says_what_can(int8_run, pictures, capsys):
    assert command(int8_run, pictures, "--format", "pt2") == 1
    assert "What can be written: --format onnx, openvino, torchscript" in capsys.readouterr().err
    assert command(int8_run, pictures, "--format", "onyx") == 1
    assert "Did you mean 'onnx'?" in capsys.readouterr().err
    assert command(int8_run, pictures, "--format", "openvino", "--with-resize") == 1
    assert "It can be put into onnx, torchscript" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["onnx", "torchscript"])
def test_with_resize_a_picture_of_any_size_goes_in(name, float_run, pictures, tmp_path, capsys):
    assert command(float_run, pictures, "--format", name, "--with-resize", "--out", str(tmp_path)) == 0
    assert "resizing inside" in capsys.readouterr().out
    run = export.get(name).run(tmp_path / export.module(name).FILE, 1)
    assert run(np.zeros((2, 1, 301, 77), np.uint8)).shape == (2, len(CLASSES))


def test_a_file_with_other_preprocessing_fails_the_command(float_run, pictures, capsys, monkeypatch, tmp_path):
    forward = whole.Whole.forward
    monkeypatch.setattr(whole.Whole, "forward", lambda self, batch: forward(self, 255 - batch))
    assert command(float_run, pictures, "--format", "onnx", "--out", str(tmp_path)) == 1
    assert "The file was not kept" in capsys.readouterr().err and not any(tmp_path.iterdir())


def test_rounding_explains_a_narrow_margin_and_no_wide_one():
    files = [Path(str(number)) for number in range(40)]
    before = np.tile([0.8, 0.2], (40, 1))
    before[0] = [0.501, 0.499]
    after = before + [0.01, -0.01]
    after[0] = [0.495, 0.505]
    found = agreement._agreement(before, after, files, ["a", "b"])
    assert [(photo.file.name, photo.exported) for photo in found.changed] == [("0", "b")]
    assert found.rounding == pytest.approx(0.02) and found.objection(exact=False) is None
    assert "float network" in found.objection(exact=True)
    assert "changed a probability by 0.0100" in agreement._agreement(
        before[1:], after[1:], files, ["a", "b"]
    ).objection(exact=True)
    after[1] = [0.4, 0.6]
    assert "more than rounding" in agreement._agreement(before, after, files, ["a", "b"]).objection(exact=False)
    mistaken = agreement._agreement(before, before + [-0.2, 0.2], files, ["a", "b"])
    assert "no rounding" in mistaken.objection(exact=False)


def test_without_photos_the_command_asks_for_some(float_run, capsys):
    assert cli.main(["export", str(float_run), "--format", "torchscript"]) == 1
    assert "--photos DIR" in capsys.readouterr().err


def test_the_example_of_the_docs_needs_neither_hymtl_nor_torch(float_run, int8_run, pictures, tmp_path):
    assert command(int8_run, pictures, "--format", "onnx", "--out", str(tmp_path)) == 0
    example = DOCS.read_text().split("```python\n")[1].split("```")[0]
    photo = sorted((pictures / "val").rglob("*.*"))[0]
    (tmp_path / "example.py").write_text(
        "import sys\nsys.modules['torch'] = sys.modules['hymtl'] = None\n" + example.replace("photo.jpg", str(photo))
    )
    done = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = hymtl.load(int8_run)(photo)
    label, confidence = done.stdout.split()
    assert label == said.label and float(confidence) == pytest.approx(said.confidence, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "openvino", "pt2"])
def test_an_int8_file_of_quantizer_pt2e_differs_by_rounding(name, pictures, tmp_path):
    pytest.importorskip("torchao")
    run = made(tmp_path, "ptq", "resnet18", quantizer="pt2e")
    assert command(run, pictures, "--format", name) == 0


def test_an_export_that_is_killed_leaves_no_parts_of_two_networks(tmp_path, monkeypatch):
    old, new = tmp_path / "export", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
        for name in ("model.xml", "model.bin"):
            (folder / name).write_text(folder.name)

    def killed(source, target):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.export.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        cli.export._put_in_place(new / "model.xml", old)
    assert [file.name for file in old.iterdir()] == ["model.bin"]  # which nothing reads without the other
    cli.export._put_in_place(new / "model.xml", old)
    assert {file.read_text() for file in old.iterdir()} == {"new"}


def test_a_broken_photo_among_those_to_check_with_is_named(float_run, pictures, tmp_path, capsys):
    (tmp_path / "ant.png").write_bytes(next((pictures / "val" / "ants").iterdir()).read_bytes())
    (tmp_path / "broken.jpg").write_text("no picture")
    made_here = ["--photos", str(tmp_path), "--format", "torchscript", "--out", str(tmp_path / "out")]
    assert cli.main(["export", str(float_run), *made_here]) == 1
    assert f"{tmp_path}/broken.jpg cannot be read as a picture" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())
