"""Run folders and artifacts as commits before this layout wrote them, and what a reader says of broken ones."""

import csv
import json
import shutil
from pathlib import Path

import pytest

import hymtl
from hymtl import records
from hymtl.compare import comparison, grouping
from hymtl.compare.runs import find
from hymtl.errors import HymtlError
from hymtl.records.job import Job
from hymtl.records.result import Result

OLD = Path(__file__).parent / "format1"
PICTURES = OLD / "pictures"  # drawn by the version of then


@pytest.fixture
def old(tmp_path):
    return shutil.copytree(OLD, tmp_path / "old")


@pytest.mark.parametrize("run", ["scratch", "quantized"])
def test_an_artifact_of_format_2_classifies_as_it_did(run):
    predictor = hymtl.load(OLD / run)
    with (OLD / run / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row, prediction in zip(rows, predictor([PICTURES / row["photo"] for row in rows]), strict=True):
        assert prediction.label == row["guess"]
        for name, probability in prediction.probabilities.items():
            assert probability == pytest.approx(float(row[f"p({name})"]), abs=2e-3)


def test_run_folders_of_format_1_are_read_and_compared(old):
    found = find([old])
    assert {run.folder.name for run in found.runs} == {"scratch", "quantized"} and found.warnings == []
    (failed,) = found.absent
    assert failed.status == "failed" and "garment_cnn cannot be quantized" in failed.error
    assert len(grouping.tables(found.runs, found.absent)) == 1
    assert "2 finished runs, 1 FAILED" in comparison.compare([old])
    scratch = next(run.result for run in found.runs if run.folder.name == "scratch")
    assert scratch.format == 1 and scratch.curves["val/loss"][0] == [0, 1]  # its epochs have no numbers: from 0
    assert scratch.accuracy == scratch.best.val_acc
    assert records.read(Job, old / "scratch" / "job.json").config_hash == scratch.config_hash


def test_a_record_comes_back_as_it_was_written(old, tmp_path):
    result = records.read(Result, old / "quantized" / "result.json")
    records.write(result, tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads(
        (old / "quantized" / "result.json").read_text()
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"seed": "0"}, "seed"),
        ({"best": {"epoch": 0, "val_acc": 1.5, "val_loss": 0.1}}, "best.val_acc"),
        ({"best": {"epoch": 0, "val_acc": float("nan"), "val_loss": 0.1}}, "best.val_acc"),
        ({"best": {"epoch": 0, "val_acc": 1.0, "balanced_acc": float("nan")}}, "best.balanced_acc"),
        ({"seconds": {"fit": float("inf")}}, "seconds.fit"),
        ({"bytes": {"float": -1, "int8": None}}, "bytes.float"),
        ({"bytes": {"float": 1, "int8": None}}, "bytes.int8"),
        ({"dataset": []}, "dataset"),
        ({"format": 2, "history": {"epoch": [0, 1], "val/acc": [0.5]}}, "history"),
    ],
)
def test_a_wrong_field_is_named(old, change, field):
    file = old / "quantized" / "result.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(HymtlError) as caught:
        records.read(Result, file)
    assert str(file) in str(caught.value) and field in str(caught.value)
