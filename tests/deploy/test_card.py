"""The model card, and the examples of docs/python.md."""

import subprocess
import sys
from pathlib import Path

import yaml

import hymtl
from hymtl.deploy import card
from hymtl.records.result import Calibration
from tests.deploy.artifacts import made

DOCS = Path(__file__).parents[2] / "docs" / "python.md"


def test_the_card_says_what_how_good_and_what_int8_cost_and_is_no_part_of_the_digests(tmp_path):
    run = made(tmp_path / "run", "finetune", "garment_cnn")
    facts = {
        "backbone": "resnet18", "classes": ["ants", "bees"], "strategy": {"name": "qat", "engine": "onednn"},
        "sources": {
            "dataset": {"name": "folder", "digest": "d" * 64, "train": 244},
            "backbone": {"name": "resnet18", "weights": "/secret/w.pth", "digest": "b" * 64},
        },
    }  # fmt: skip
    error = {"mean": 0.1, "max": 0.5}
    cost = {"steps": [{"from": "float", "to": "int8", "lost": ["a"], "gained": [], "logit_error": error}]}
    scores = {"val_acc": 0.95, "val_photos": 100, "test_acc": 0.9, "test_photos": 50}
    calibration = Calibration(temperature=1.2, ece_before=0.05, ece_after=0.02)
    card.write(run / "artifact", facts, scores, cost, calibration)
    _, front, text = (run / "artifact" / "README.md").read_text().split("---\n", 2)
    read = yaml.safe_load(front)
    assert read["pipeline_tag"] == "image-classification" and "int8" in read["tags"]
    metrics = {one["name"]: one["value"] for one in read["model-index"][0]["results"][0]["metrics"]}
    assert metrics == {"validation accuracy": 0.95, "test accuracy": 0.9}
    for said in (
        "test accuracy: 0.9000 on 50 photos",
        "0.888 to 0.978",
        "1 photos lost",
        "temperature 1.200",
        "d" * 64,
        "weights w.pth",
        "Licences",
    ):
        assert said in text
    assert "secret" not in text and "pretrained" in text
    facts["sources"]["backbone"] |= {"weights": None, "digest": None}
    card.write(run / "artifact", facts, scores | {"trains": False}, cost, calibration)
    text = (run / "artifact" / "README.md").read_text()
    assert "pretrained" not in text and "best epoch" not in text
    hymtl.load(run)  # whoever writes more into the card breaks nothing


def test_the_examples_of_the_docs_run(pictures, tmp_path):
    made(tmp_path / "RUN", "finetune", "garment_cnn")
    (tmp_path / "photo.jpg").write_bytes(next((pictures / "val").rglob("*.*")).read_bytes())
    (tmp_path / "text.txt").write_text("no picture")
    blocks = [block.split("```")[0] for block in DOCS.read_text().split("```python\n")[1:]]
    (tmp_path / "example.py").write_text("\n".join(blocks))
    done = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "text.txt cannot be read as a picture" in done.stdout and "photo.jpg" in done.stdout
