"""result.json, written and read through its schema."""

import json

from hymtl import records
from hymtl.records import result
from tests.compare import runs


def test_what_diverged_is_null_in_the_file(tmp_path):
    """JSON has no NaN, and a run that diverged is finished like any other."""
    known = json.loads((runs.write(tmp_path / "a") / "result.json").read_text())
    known["history"]["val/loss"] = [0.5, float("inf"), float("nan")]
    known["best"]["val_loss"] = float("nan")
    known["int8_cost"] = {"steps": [{"logit_error": {"max": float("nan")}}]}
    records.write(result.Result(**known), tmp_path / "result.json")
    text = (tmp_path / "result.json").read_text()
    assert "NaN" not in text and "Infinity" not in text
    read = records.read(result.Result, tmp_path / "result.json")
    assert read.history["val/loss"] == [0.5, None, None] and read.best.val_loss is None
    assert read.curves["val/loss"] == ([0], [0.5])
