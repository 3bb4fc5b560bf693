"""Checking settings before anything slow begins; what YAML cannot say about them."""

from collections.abc import Callable
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from hymtl.errors import HymtlError


def _whole(least: int) -> tuple[str, Callable[[object], bool]]:
    return f"a whole number of at least {least}", lambda v: isinstance(v, int) and v is not True and v >= least


_RULES = {
    "seed": _whole(0),
    "epochs": _whole(1),
    "data.batch_size": _whole(1),
    "data.resize": _whole(1),
    "data.resize_at_224": _whole(224),
    "data.workers": ("'auto' or a whole number of at least 0", lambda v: v == "auto" or _whole(0)[1](v)),
    "data.folds": ("null or a whole number of at least 2", lambda v: v is None or _whole(2)[1](v)),
    "data.fold": ("null or a whole number of at least 0", lambda v: v is None or _whole(0)[1](v)),
    "data.test_fraction": ("a number from 0 to below 1", lambda v: isinstance(v, int | float) and 0 <= v < 1),
    "data.cache_gb": ("a number of gigabytes", lambda v: isinstance(v, int | float) and v >= 0),
    "data.features_gb": ("a number of gigabytes", lambda v: isinstance(v, int | float) and v >= 0),
}


def check(cfg: DictConfig) -> None:
    """Refuse values that would fail later or, worse, not at all.

    Raises:
        HymtlError: naming the setting and what it may be.
    """
    for name in OmegaConf.missing_keys(cfg):
        raise HymtlError(f"{name} has no value: give {name}=... on the command line.")
    for name, (expected, holds) in _RULES.items():
        value = OmegaConf.select(cfg, name)
        if not holds(value):
            raise HymtlError(f"{name}={value}: expected {expected}.")
    _check_fold(cfg.data.folds, cfg.data.fold)
    if cfg.ckpt_path and not Path(cfg.ckpt_path).is_file():
        raise HymtlError(f"ckpt_path={cfg.ckpt_path}: there is no such file. Give the last.ckpt of a run.")
    _check_optimizer(cfg)


def resize(cfg: DictConfig, size: int) -> int:
    """Pixels of a picture's shorter side, for a network that sees ``size``: as given, else in proportion."""
    given = not OmegaConf.is_interpolation(cfg.data, "resize")
    return cfg.data.resize if given else round(cfg.data.resize_at_224 * size / 224)


def _check_fold(folds: int | None, fold: int | None) -> None:
    if folds is None and fold is not None:
        raise HymtlError(f"data.fold={fold} is one of how many? Give data.folds=5, or leave data.fold out.")
    if folds is not None and (fold is None or fold >= folds):
        every = ",".join(map(str, range(folds)))
        raise HymtlError(
            f"data.folds={folds} with data.fold={'null' if fold is None else fold}: give data.fold=0 to {folds - 1}, "
            f"or sweep them all: -m data.fold={every}"
        )


def _check_optimizer(cfg: DictConfig) -> None:
    """Build optimizer and scheduler once on a lone parameter, which finds bad values and misspelt options."""
    from torch import nn, zeros

    try:
        optimizer = instantiate(cfg.optim)([nn.Parameter(zeros(1))])
        if cfg.scheduler:
            instantiate(cfg.scheduler)(optimizer)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise HymtlError(f"optim or scheduler: {error}. See conf/optim/ and conf/scheduler/.") from error
