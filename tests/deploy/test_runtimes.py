"""Which runtime classifies: an exported file stands for its artifact only as long as it says what the artifact says."""

import shutil
from functools import partial

import pytest

import hymtl
from hymtl import cli, records
from hymtl.deploy import artifact, benchmark, runtimes
from hymtl.records.benchmark import FILE, Benchmark
from tests.deploy.artifacts import made

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def exported(tmp_path_factory, pictures):
    """A run with model.onnx."""
    run = made(tmp_path_factory.mktemp("exported"), "finetune", "garment_cnn")
    assert cli.main(["export", str(run), "--format", "onnx", "--photos", str(pictures / "val")]) == 0
    return run


@pytest.fixture
def run(exported, tmp_path):
    """A copy to change."""
    return shutil.copytree(exported, tmp_path / "run")


def saved_anew(run, temperature=1.0, **changed):
    """The same weights, described otherwise."""
    loaded = artifact.load(run / "artifact")
    facts = {name: getattr(loaded, name) for name in ("backbone", "strategy", "classes", "resize", "sources")}
    artifact.save(run / "artifact", loaded.network, facts | changed, loaded.scores, temperature)


@pytest.mark.parametrize(
    "change",
    [
        partial(saved_anew, temperature=1.7),
        partial(saved_anew, classes=["ants", "wasps", "bees"]),
        partial(saved_anew, resize=40),
    ],
    ids=["temperature", "classes", "resize"],
)
def test_a_file_made_before_the_artifact_changed_is_not_taken(change, run, pictures, capsys, monkeypatch):
    photo = str(next(iter(sorted((pictures / "val").rglob("*.*")))))
    assert cli.main(["predict", str(run), photo, "--runtime", "onnxruntime"]) == 0
    change(run)
    assert cli.main(["predict", str(run), photo, "--runtime", "onnxruntime"]) == 1
    said = capsys.readouterr().err
    assert "was not made from this artifact" in said and f"hymtl export {run} --format onnx" in said
    monkeypatch.setattr(benchmark, "ROUNDS", 3)
    assert cli.main(["benchmark", str(run)]) == 0
    assert f"not timed: {run / 'export' / 'model.onnx'} was not made from this artifact" in capsys.readouterr().err
    found = records.read(Benchmark, run / FILE)
    assert [contender.runtime for contender in found.contenders] == ["torch"] and len(found.left_out) == 1


def test_auto_goes_back_to_torch_where_the_file_no_longer_serves(run):
    def chosen(name="auto"):
        return runtimes.choose(name, run, hymtl.load(run).artifact)

    benchmark_of(run)
    assert chosen()
    file = run / "export" / "model.onnx"
    file.write_bytes(file.read_bytes()[:1000])
    assert chosen() is None
    with pytest.raises(hymtl.errors.HymtlError, match=r"model\.onnx cannot be read"):
        chosen("onnxruntime")
    file.unlink()
    assert chosen() is None


def benchmark_of(run):
    """As if ONNX Runtime had been fastest here."""
    found = benchmark.run([run])[run]
    next(c for c in found.contenders if c.runtime == "onnxruntime").batches["16"].median = 1e-9
    records.write(found, run / FILE)
