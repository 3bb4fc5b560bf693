"""What tests share: small drawn datasets, the real photos where they are, and composed configs."""

import json
import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from absl import logging as absl_logging
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, open_dict

from hymtl import backbones, experiment, quiet, runtime
from hymtl.data import drawn
from tests.small import SMALL

ROOT = Path(__file__).parent.parent
ASSETS = os.environ.get("HYMTL_TEST_ASSETS")
EPOCHS = 2  # of the `fitted` runs

sys.path.insert(0, str(ROOT))  # train.py is a script beside the package
# Where a test configures logging anew, as Hydra does, absl (TensorBoard's) closes its stream: not pytest's.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """A few drawn ants and bees: 24 to train on, 12 to validate on."""
    return drawn.write(tmp_path_factory.mktemp("drawn") / "pictures", train=24, val=12)


@pytest.fixture(scope="session")
def photos() -> Path:
    """The real hymenoptera photos."""
    return _asset("hymenoptera_data")


@pytest.fixture(scope="session")
def resnet18_weights() -> Path:
    """An ImageNet state dict of resnet18."""
    return _asset("weights/resnet18_imagenet_ktb.pth")


def _asset(name: str) -> Path:
    if not ASSETS or not (Path(ASSETS) / name).exists():
        pytest.skip(f"needs {name} in the folder that HYMTL_TEST_ASSETS names")
    return Path(ASSETS) / name


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Compose conf/config.yaml with command-line overrides, as train.py does, for a run in ``tmp_path``.

    What hymtl keeps from run to run, it keeps there too.
    """
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))

    def composed(*overrides: str) -> DictConfig:
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            cfg = compose("config", list(overrides))
        with open_dict(cfg):
            cfg.run_dir = str(tmp_path / "run")
        (tmp_path / "run").mkdir(exist_ok=True)
        return cfg

    return composed


def pytest_configure(config):
    """pytest starts from its own list of warnings; these are those that hymtl filters for a user."""
    for message in quiet.FILTERS:
        config.addinivalue_line("filterwarnings", f"ignore:{message}")


def pytest_collection_finish():
    """Garbage is not looked for in what was imported, as in a run."""
    runtime.pass_over()


def settings(strategy, pictures, *more):
    return [
        f"strategy={strategy}", "data=folder", f"data.root={pictures}", "backbone=resnet18", "backbone.weights=null",
        f"backbone.name={SMALL.name}", f"epochs={EPOCHS}", "data.workers=0", "trainer.enable_progress_bar=false", *more,
    ]  # fmt: skip


def prepare(cfg):
    """What ``cfg`` describes, before it trains."""
    built = experiment.prepare(cfg)
    return built.module, built.datamodule, built.trainer


def fit(cfg):
    """What ``cfg`` describes, fitted."""
    built = experiment.prepare(cfg)
    experiment.fit(built, cfg.ckpt_path)
    return built.module, built.trainer


def deployed_accuracy(result):
    return (result["int8"] or result["best"])["val_acc"]


_RUNS: dict[str, SimpleNamespace] = {}


@pytest.fixture
def fitted(config, pictures, tmp_path_factory):
    """Each strategy fitted once for all tests, which leave the run as it is."""

    def run(strategy):
        if strategy not in _RUNS:
            cfg = config(*settings(strategy, pictures))
            cfg.run_dir = str(tmp_path_factory.mktemp(strategy))
            built = experiment.prepare(cfg)
            experiment.fit(built)
            experiment.record(built, cfg)
            folder = Path(cfg.run_dir)
            _RUNS[strategy] = SimpleNamespace(
                module=built.module,
                trainer=built.trainer,
                result=json.loads((folder / "result.json").read_text()),
                folder=folder,
                data=built.datamodule,
            )
        return _RUNS[strategy]

    return run


@pytest.fixture(autouse=True)
def _the_same_backbones():
    """A network that a test makes known is known to that test alone."""
    before = dict(backbones.every())
    yield
    backbones.every().clear()
    backbones.every().update(before)


@pytest.fixture(autouse=True)
def _one_random_state():
    """No test depends on what another drew, or which loggers it silenced."""
    torch.manual_seed(0)
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("hymtl")]:
        logging.getLogger(name).disabled = False
