"""One run from the command line: its folder claimed, gone on with where asked, its failure on record."""

import logging
import os
import shlex
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import filelock
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from hymtl import experiment, records, resuming, signals, strategies
from hymtl.errors import HymtlError
from hymtl.files import locked
from hymtl.folder import CHECKPOINTS
from hymtl.records import failure, result
from hymtl.records.result import Result
from hymtl.runtime import train_command

log = logging.getLogger(__name__)


def run(cfg: DictConfig) -> Result | None:
    """The result record of the run that ``cfg`` describes; None in other processes than the first.

    A refusal is left as ``failure.json`` too, so that a comparison does not take the folder for a run at work.
    """
    folder = Path(cfg.run_dir)
    if os.environ.get("LOCAL_RANK", "0") != "0":  # one of several processes: the first has the folder
        return experiment.run(_gone_on(cfg, folder))
    signals.go_on_with(f"{train_command()} resume={shlex.quote(cfg.run_dir)}")
    with _alone(folder):
        (folder / failure.FILE).unlink(missing_ok=True)  # of an earlier attempt: this one is at work
        try:
            made = _finished(cfg, folder) or _made(cfg, folder)
        except HymtlError as error:
            failure.write(folder, str(error), HydraConfig.get().overrides.task)
            raise
    return made


def _made(cfg: DictConfig, folder: Path) -> Result | None:
    if cfg.resume:
        resuming.keep(cfg, HydraConfig.get().overrides.task)
    return experiment.run(_gone_on(cfg, folder))


def _gone_on(cfg: DictConfig, folder: Path) -> DictConfig:
    """With ``resume``, from the last checkpoint; where none was saved yet, from the start."""
    last = folder / CHECKPOINTS / "last.ckpt"
    if not cfg.resume or not last.is_file():
        return cfg
    cfg = cfg.copy()
    cfg.ckpt_path = str(last)
    return cfg


def _finished(cfg: DictConfig, folder: Path) -> Result | None:
    """The result of a run that has nothing more to do."""
    if not cfg.resume or not (folder / result.FILE).is_file():
        return None
    made = records.read(Result, folder / result.FILE)
    if not strategies.kind(cfg.strategy.name).trains:
        log.info("finished already: strategy=%s is solved in one epoch", cfg.strategy.name)
        return made
    if made.epochs != cfg.epochs:
        return None
    log.info("finished already: more epochs=%d would go on", cfg.epochs + 1)
    return made


def _alone(folder: Path) -> AbstractContextManager:
    """Nobody else works in the folder meanwhile: two runs begun in the same second, or resumed twice, take turns."""
    lock = locked(folder / "run")
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        log.warning("another process is at work in %s: this one waits for it", folder)
    except OSError:  # a file system without locks
        return nullcontext()
    else:
        lock.release()
    return lock
