"""Before a sweep: each job that cannot run is named before the first starts, and nothing is downloaded for it."""

import re
import socket
from pathlib import Path

import pytest
import torch

from hymtl import experiment
from hymtl.errors import HymtlError
from hymtl.sweep import preflight

CONF = Path(__file__).parents[2] / "conf"
SEEDS = ",".join(map(str, range(5)))


@pytest.fixture
def refused(capsys, monkeypatch, tmp_path):
    """What is said of a sweep that is refused, without any network: the number of bad jobs, and the lines."""
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))

    def run(*words, bad=3):
        with pytest.raises(SystemExit) as stop:
            preflight.refuse_or_announce(["-m", *words], CONF)
        assert stop.value.code == 1
        said = capsys.readouterr().err
        assert re.match(rf"{bad} of 20 jobs cannot run, so none was started:\n", said), said
        return said

    return run


def test_names_and_values_that_are_wrong(refused):
    seeds = ",".join(map(str, range(17)))
    said = refused("strategy=frozen", f"seed={seeds},x,-1,1.5")
    for seed in ("x", "-1", "1.5"):
        assert f"  strategy=frozen seed={seed}\n" in said and f"seed={seed}: expected a whole number" in said


def test_what_is_wrong_in_all_jobs_is_said_once(capsys):
    with pytest.raises(SystemExit):
        preflight.refuse_or_announce(["-m", "strategy=frozen,probe", "seed=0,1,2", "data.folds=1"], CONF)
    said = capsys.readouterr().err
    assert said == "None of the 6 jobs can run. data.folds=1: expected null or a whole number of at least 2.\n"


def test_what_does_not_go_together(refused):
    said = refused(
        "strategy=finetune,frozen,quantized,qat,ptq", "backbone=garment_cnn,efficientnet_lite0,resnet18,mobilenet_v2"
    )
    for strategy in ("quantized", "qat", "ptq"):
        assert f"  strategy={strategy} backbone=garment_cnn\n" in said
    assert "backbone=garment_cnn cannot be quantized with strategy.quantizer=" in said


def test_files_that_are_missing_or_wrong(refused, pictures, tmp_path):
    roots = [pictures, *(tmp_path / str(number) for number in range(16))]
    for root in roots[1:]:
        root.symlink_to(pictures)
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.csv").write_text("path,label\nlost.jpg,ants\nlost.jpg,bees\n")
    words = ",".join(map(str, [*roots, tmp_path / "lost", tmp_path / "empty", tmp_path / "table.csv"]))
    said = refused("data=folder", f"data.root={words}")
    assert f"data.root={tmp_path}/lost: there is no such folder. Give one that holds CLASS/" in said
    assert f"{tmp_path}/empty has 0 class folders" in said and f"{tmp_path}/table.csv" in said


def test_weights_that_are_missing_or_of_another_network(refused, tmp_path):
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"layer.weight": torch.zeros(1)}, tmp_path / "other.pth")
    words = ",".join([f"{tmp_path}/{name}.pth" for name in ("lost", "text", "other")])
    said = refused("backbone=resnet18", f"backbone.weights=null,{words}", f"seed={SEEDS}", bad=15)
    assert "lost.pth: there is no such file" in said and "text.pth cannot be read as tensors" in said
    assert "other.pth holds no weights of resnet18" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["strategy=qat", "backbone=garment_cnn"], "garment_cnn cannot be quantized"),
        (["strategy=quantized", "trainer.accelerator=gpu"], "int8 networks run on the CPU only"),
        (["strategy=scratch", "backbone.weights=imagenet"], "strategy=scratch starts from random weights"),
        (["strategy=partial", "strategy.stages=9", "backbone=resnet18"], "resnet18 has . stages"),
        (["optim=sgd", "optim.momentum=0", "+optim.nesterov=true"], "Nesterov momentum requires"),
    ],
)
def test_one_run_is_refused_before_anything_is_downloaded(config, monkeypatch, words, message):
    monkeypatch.setattr(socket, "socket", None)
    with pytest.raises(HymtlError, match=message):
        experiment.run(config("data=hymenoptera", *words))
