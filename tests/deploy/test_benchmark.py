"""`hymtl benchmark`: what it leaves, who wins, and a float twin that says what the int8 network rounds."""

import pytest
import torch

import hymtl
from hymtl import cli, records
from hymtl.deploy import benchmark, runtimes, twin
from hymtl.records.benchmark import FILE, Benchmark, Time
from tests.deploy.artifacts import made


def test_each_network_and_file_is_timed_and_the_fastest_is_what_auto_takes(tmp_path, pictures, capsys, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(benchmark, "ROUNDS", 3)
    run = made(tmp_path / "run", "finetune", "garment_cnn")
    assert cli.main(["export", str(run), "--format", "onnx", "--photos", str(pictures / "val")]) == 0
    assert cli.main(["benchmark", str(run)]) == 0
    said = capsys.readouterr().out
    assert "; median of 3 rounds" in said and "batch 16:" in said
    found = records.read(Benchmark, run / FILE)
    assert [contender.name for contender in found.contenders] == ["torch float", "onnxruntime float"]
    assert found.latency == found.contenders[0].at(1) and all(c.bytes > 0 for c in found.contenders)
    loaded = hymtl.load(run).artifact
    assert (runtimes.choose("auto", run, loaded) is None) == (found.fastest(("onnxruntime", "torch")) == "torch")
    found.contenders[1].batches["16"].median = 1e-9
    records.write(found, run / FILE)
    assert runtimes.choose("auto", run, loaded)
    found.machine = "another"
    records.write(found, run / FILE)
    assert runtimes.choose("auto", run, loaded) is None


def test_times_whose_spreads_overlap_do_not_differ():
    fast, slow = (Time(median=m, low=m - 1, high=m + 1, rounds=3) for m in (5, 8))
    assert fast.differs(slow) and not fast.differs(Time(median=6.5, low=5.5, high=7.5, rounds=3))


def test_the_float_twin_of_an_int8_network_says_nearly_the_same(tmp_path, pictures):
    predictor = hymtl.load(made(tmp_path / "run", "ptq", "efficientnet_lite0"))
    files = sorted((pictures / "val").rglob("*.*"))
    prepared = torch.stack([predictor.prepare(file) for file in files])
    int8 = predictor.probabilities(prepared)
    predictor.network = twin.float_network(predictor.artifact)
    twins = predictor.probabilities(prepared)
    assert 0 < (int8 - twins).abs().mean() < 0.02
