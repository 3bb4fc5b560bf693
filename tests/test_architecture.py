"""The rules between the rooms: as contracts on what imports what, and as what a fresh Python really loads."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hymtl import backbones, strategies
from hymtl.deploy import artifact

ROOT = Path(__file__).parent.parent
HEAVY = ("pytorch_lightning", "torchmetrics", "hydra", "omegaconf", "torchao", "hymtl.quantization")


def test_the_contracts_of_pyproject_are_kept():
    cli = pytest.importorskip("importlinter.cli")
    assert cli.lint_imports(str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True) == 0


def test_no_file_needs_itself():
    """The contract speaks of siblings; this of a package and its own files too."""
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph("hymtl", exclude_type_checking_imports=True, cache_dir=None)
    edges = [(module, used) for module in graph.modules for used in graph.find_modules_directly_imported_by(module)]
    assert [(module, used) for module, used in edges if graph.chain_exists(importer=used, imported=module)] == []


@pytest.fixture
def float_artifact(tmp_path):
    """One of a network that nobody trained."""
    strategy = strategies.create("finetune")
    network = strategy.build(backbones.get("garment_cnn"), 2)
    facts = {"backbone": "garment_cnn", "strategy": strategy.spec(), "classes": ["ants", "bees"]}
    facts |= {"resize": 28, "sources": {}}
    artifact.save(tmp_path / "artifact", network.eval(), facts, {})
    return tmp_path / "artifact"


def test_predicting_in_float_loads_what_it_needs_and_no_more(float_artifact):
    """Neither Lightning nor Hydra at import, nor what quantizes when the artifact is loaded and used."""
    assert loaded("import hymtl.deploy.predict", *HEAVY) == []
    predicts = "import hymtl, torch; hymtl.load({!r})(torch.zeros(1, 28, 28, dtype=torch.uint8))"
    assert loaded(predicts.format(str(float_artifact)), *HEAVY) == []


@pytest.mark.parametrize("module", ["hymtl.data.batches", "hymtl.data.sources.auto", "hymtl.features.batches"])
def test_batches_need_nothing_that_quantizes(module):
    assert loaded(f"import {module}", "hymtl.quantization", "hymtl.strategies", "pytorch_lightning", "torchao") == []


def test_records_are_read_and_compared_without_torch():
    assert loaded("import hymtl.compare.comparison", "torch", *HEAVY) == []


def loaded(code: str, *packages: str) -> list[str]:
    """Which of some packages a fresh Python has in memory after ``code``."""
    tell = "; import sys, json; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code + tell], cwd=ROOT, check=True, capture_output=True, text=True)
    modules = json.loads(done.stdout.splitlines()[-1])
    return [
        name for name in modules if name.startswith(tuple(f"{package}." for package in packages)) or name in packages
    ]
