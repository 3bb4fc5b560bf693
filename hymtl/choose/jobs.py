"""What the race launches, as words of a command line; knows no torch."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from hymtl.errors import HymtlError
from hymtl.records import choice, result

SWEEPER = "hydra_plugins.hymtl_choose.Choose"
BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"  # one job after another
ROOT = Path("outputs", "choose")
WINNER = "winner"
LONGEST = 200  # bytes of a folder's name, of 255 that file systems take
_OWN = ("strategy", "data.fold", "run_dir", "choose.deadline", "choose.held_out")  # what the race itself sets


def strategies(cfg: DictConfig) -> list[str]:
    """Those to try, in order."""
    return [str(name) for name in cfg.choose.strategies]


def folder(strategy: str, fold: int) -> str:
    """Where the job of a fold is, in the folder of the race."""
    return f"{strategy}-fold{fold}"


def words(strategy: str, fold: int) -> list[str]:
    """What makes the job of a fold of what the race was called with."""
    return [f"strategy={strategy}", f"data.fold={fold}", f"hydra.sweep.subdir={folder(strategy, fold)}"]


def finished(cfg: DictConfig) -> int:
    """How many folds of a race are finished, by its config."""
    sweep = Path(cfg.hydra.sweep.dir)
    every = (sweep / folder(strategy, fold) for strategy in strategies(cfg) for fold in range(cfg.data.folds))
    return sum((where / result.FILE).is_file() for where in every)


def refuse_own(given: Sequence[str]) -> None:
    """Refuse, among the words that a race was ``given``, what it sets itself.

    Raises:
        HymtlError: naming the setting and the remedy.
    """
    names = {word.lstrip("+~").partition("=")[0] for word in given}
    for name in (name for name in _OWN if name in names):
        raise HymtlError(
            f"{name} is for experiment=choose to set: it tries choose.strategies=[probe,frozen,...], and data.folds of "
            f"each, in folders below hydra.sweep.dir. Leave {name} out."
        )


def check(cfg: DictConfig) -> None:
    """Refuse what is no race, by its config.

    Raises:
        HymtlError: naming the setting and the remedy.
    """
    settings = OmegaConf.to_container(cfg.choose)
    assert isinstance(settings, dict)
    choice.check({str(name): value for name, value in settings.items()})
    if cfg.trainer.get("fast_dev_run"):
        raise HymtlError("+trainer.fast_dev_run keeps no result, so that there is nothing to choose by. Leave it out.")
    if cfg.data.folds is None:
        raise HymtlError("data.folds=null: experiment=choose decides by cross-validation. Give data.folds=5.")


def sweep_folder(given: Sequence[str]) -> Path:
    """The same for the same command, so that it goes on where it was; what is asked of the choice may change."""
    kept = sorted(word for word in given if not word.startswith(("choose.", "-", "hydra.", "experiment=")))
    chosen = dict(word.partition("=")[::2] for word in kept)
    name = Path(chosen.get("data.root", "").strip("'\"")).name or chosen.get("data", "auto")
    name = re.sub(r"""['"\\${}]""", "_", name)  # which Hydra would read
    name = name.encode()[:LONGEST].decode(errors="ignore")
    return ROOT / f"{name}-{hashlib.sha256(chr(0).join(kept).encode()).hexdigest()[:8]}"
