"""A training from Python, for notebooks: the words of a command line in, the finished run out."""

import logging
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from omegaconf import open_dict

from hymtl import experiment, resuming
from hymtl.errors import HymtlError
from hymtl.records.result import Result
from hymtl.settings import configs
from hymtl.settings.overrides import Overrides


class Run(NamedTuple):
    """A finished run: its folder, which `hymtl.load` and the command `hymtl` take, and its record."""

    folder: Path
    result: Result


def train(*overrides: str, folder: str | Path | None = None) -> Run:
    """One experiment, as `python train.py OVERRIDES` runs it; see :func:`hymtl.train`."""
    _show_log()
    if odd := [word for word in overrides if not isinstance(word, str)]:
        raise HymtlError(f'{odd[0]!r} is no word. Give words, each by itself: hymtl.train("strategy=frozen", "seed=1")')
    if any(word.lstrip("+") == "experiment=choose" for word in overrides):
        raise HymtlError("experiment=choose is many runs, for the command line: hymtl train -m experiment=choose ...")
    with Overrides(configs.found()) as composer:
        words = [composer.for_hydra(word) for word in overrides]
        cfg = composer.check(words)
    with open_dict(cfg):
        del cfg["hydra"]
    now = datetime.now()
    where = Path(folder) if folder else Path("outputs", f"{now:%Y-%m-%d}", f"{now:%H-%M-%S}-{cfg.strategy.name}")
    cfg.run_dir = str(where.absolute())
    (where / resuming.RECORDED).parent.mkdir(parents=True, exist_ok=True)
    resuming.keep(cfg, words)  # so that python train.py resume= and hymtl compare know it
    made = experiment.run(cfg)
    if made is None:
        raise HymtlError("+trainer.fast_dev_run=true keeps nothing, so there is no run to give. Leave it out.")
    return Run(where.absolute(), made)


def _show_log() -> None:
    """What was really used stands in the log, which a notebook would not show by itself."""
    if not logging.getLogger().handlers:
        logging.basicConfig(format="%(message)s")
    logging.getLogger("hymtl").setLevel(logging.INFO)
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)  # its hints, as in conf/
