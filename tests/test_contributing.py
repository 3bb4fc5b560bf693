"""The guides of CONTRIBUTING.md, followed word for word in a copy of the checkout: nothing else has to change."""

import csv
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"<!-- (file|entry): (\S+) -->\n\s*```\w+\n(.*?)\n\s*```", re.DOTALL)


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """A checkout in which the guides were followed, and the files that were added or changed."""
    copy = tmp_path_factory.mktemp("guides") / "hymtl"
    for name in ("conf", "hymtl", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("train.py", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    touched = []
    for kind, name, text in BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text()):
        content, place = textwrap.dedent(text), copy / name
        if kind == "file":
            assert not place.exists(), f"{name} is there already: the guide needs another example"
            place.write_text(content + "\n")
        else:
            head, _, tail = place.read_text().rpartition("\n)")  # the last bracket ends BACKBONES
            place.write_text(f"{head}\n    {content},\n){tail}")
        touched.append(name)
    return copy, touched


def run(copy, *words, home):
    environment = os.environ | {"HYMTL_HOME": str(home), "PYTHONPATH": str(copy), "PYTEST_ADDOPTS": ""}
    done = subprocess.run([sys.executable, *words], cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_each_guide_is_a_file_and_a_yaml(followed):
    _, touched = followed
    assert touched == [
        "hymtl/backbones/families/torchvision.py", "conf/backbone/efficientnet_b0.yaml",
        "hymtl/strategies/norms.py", "conf/strategy/norms.yaml",
        "hymtl/data/sources/table.py", "conf/data/table.yaml",
    ]  # fmt: skip


@pytest.mark.second
def test_what_the_guides_add_trains_and_predicts(followed, pictures, tmp_path):
    copy, _ = followed
    with (tmp_path / "table.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["split", "label", "path"])
        for photo in sorted(pictures.glob("*/*/*.*")):
            split, label, _ = photo.relative_to(pictures).parts
            rows.writerow([split, label, os.path.relpath(photo, tmp_path)])
    said = run(
        copy, "train.py", "strategy=norms", "data=table", f"data.root={tmp_path}/table.csv", "backbone=efficientnet_b0",
        "backbone.weights=null", "epochs=1", "data.resize=224", "trainer.enable_progress_bar=false", "data.workers=0",
        f"hydra.run.dir={tmp_path}/run", "~callbacks.pictures", "trainer.limit_train_batches=2",
        home=tmp_path,
    )  # fmt: skip
    assert "24 train, 12 val" in said
    photo = next(pictures.glob("val/*/*.*"))
    assert str(photo) in run(copy, "-m", "hymtl", "predict", f"{tmp_path}/run", str(photo), home=tmp_path)


@pytest.mark.second
def test_no_test_has_to_change_for_them(followed, tmp_path):
    """Those that go through all strategies, backbones, sources and configs."""
    copy, _ = followed
    names = "help or every or features_as_it_says or addresses or stages_of_a_backbone or cut_at_any_stage"
    said = run(
        copy, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "tests/test_config.py",
        "tests/backbones/test_backbones.py", "tests/strategies/test_strategies.py", "tests/e2e/test_commands.py",
        "-k", names, home=tmp_path,
    )  # fmt: skip
    assert "efficientnet_b0" not in said and " passed" in said
