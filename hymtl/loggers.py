"""Who is told how a run goes: what ``logger`` of a config describes, made; and how anything of a config is."""

import sys
from typing import Any, cast

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from hymtl.errors import HymtlError, in_one_line


def of(cfg: DictConfig | None) -> list[Logger]:
    """The one that ``cfg`` describes, or the several in it, by name."""
    if cfg and "_target_" in cfg:
        chosen = {"logger": cfg}
    else:
        several = cast(dict[str, DictConfig | None], cfg or {})
        chosen = {f"logger.{name}": one for name, one in several.items() if one}
    loggers = {setting: instantiated(logger, "logger") for setting, logger in chosen.items()}
    for setting, logger in loggers.items():
        try:
            _ = logger.experiment  # wandb and MLflow find out only here that they are not logged in, or not reached
        except Exception as error:  # each has its own
            name = type(logger).__name__
            remedy = f" Or work offline: {setting}.offline=true." if name == "WandbLogger" else ""
            raise HymtlError(f"logger: {name}: {str(error).strip()}{remedy}") from error
    return list(loggers.values())


def end(cfg: DictConfig | None) -> None:
    """End what outlives a run: wandb's, or the next job of a sweep would be told to it."""
    if "WandbLogger" in str(cfg) and (wandb := sys.modules.get("wandb")):
        wandb.finish()


def instantiated(cfg: DictConfig, section: str) -> Any:
    """What a ``_target_`` and its arguments describe, with the section's name in what it complains about."""
    try:
        return instantiate(cfg)
    except (InstantiationException, ModuleNotFoundError, MisconfigurationException) as error:
        raise HymtlError(f"{section}: {cfg.get('_target_')}: {in_one_line(error)}. See conf/{section}/.") from error
