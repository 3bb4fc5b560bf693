"""What can be known of a run before anything is downloaded or trained: what does not go together, and files at hand."""

from collections.abc import Callable, Sequence
from functools import cache, partial

import torch
from omegaconf import DictConfig, OmegaConf

from hymtl import backbones, settings, strategies
from hymtl.backbones import pretrained
from hymtl.backbones.pretrained import IMAGENET, Pretrained
from hymtl.data import sources
from hymtl.data.splits import arrange
from hymtl.errors import HymtlError
from hymtl.settings import rules
from hymtl.strategy import Strategy

# The settings of data that say who trains, validates and tests.
SPLIT = ("folds", "fold", "val_fraction", "test_fraction", "train_fraction", "split_seed", "group")
_TOGETHER = ("strategy", "backbone", "optim", "scheduler", "trainer")  # what :func:`checked` looks at, with epochs


def checked(cfg: DictConfig) -> Strategy:
    """The strategy of a run, all of whose settings go together.

    Raises:
        HymtlError: naming those that do not.
    """
    settings.check_optimizer(cfg)
    strategy = strategies.create(**cfg.strategy)
    _check_accelerator(cfg, strategy)
    _check_precision(cfg, strategy)
    _check_backbone(cfg, strategy)
    if strategy.trains and not (cfg.get("choose") and cfg.choose.held_out):
        settings.check_validated(cfg)
    return strategy


def of_jobs(configs: Sequence[DictConfig]) -> list[str | None]:
    """Of each job of a sweep why it cannot run; None where nothing is against it, as far as can be known so soon.

    What several jobs share is looked at once.
    """
    look = _Look()
    return [look.fault(cfg) for cfg in configs]


def backbone(cfg: DictConfig) -> str:
    """A backbone's name; of a family that has too many to list, with the model's."""
    return "/".join(filter(None, (cfg.backbone.name, cfg.backbone.get("model"))))


class _Look:
    """What was found out for the jobs before."""

    def __init__(self) -> None:
        self._find, self._load = cache(sources.find_photos), cache(pretrained.find)
        self._checked: dict[str, str | None] = {}

    def fault(self, cfg: DictConfig) -> str | None:
        key = "\n".join([str(cfg.epochs), *(OmegaConf.to_yaml(cfg.get(section) or {}) for section in _TOGETHER)])
        if key not in self._checked:
            self._checked[key] = _said(lambda: checked(cfg))
        return self._checked[key] or _said(lambda: self._look_for_files(cfg))

    def _look_for_files(self, cfg: DictConfig) -> None:
        if cfg.backbone.weights not in (None, IMAGENET):
            self._load(backbone(cfg), cfg.backbone.weights)
        if sources.is_local(cfg.data.source) and not cfg.get("choose"):  # a race splits in its own way
            arrange(self._find(cfg.data.source, cfg.data.root), **{key: cfg.data[key] for key in SPLIT})


def _said(look: Callable[[], object]) -> str | None:
    """The error that looking raises."""
    try:
        look()
    except HymtlError as error:
        return str(error)
    return None


def _check_backbone(cfg: DictConfig, strategy: Strategy) -> None:
    """Refuse a backbone that the strategy has no use for; where it is one of two, if it has none for both."""
    names = pretrained.AUTO if cfg.backbone.name == "auto" else (backbone(cfg),)
    weights = cfg.backbone.weights or "random"
    faults = [_said(partial(strategy.check, Pretrained(backbones.get(name), weights, None))) for name in names]
    if faults[0] and all(faults):
        raise HymtlError(faults[0])


def _check_accelerator(cfg: DictConfig, strategy: Strategy) -> None:
    accelerator = cfg.trainer.get("accelerator", "auto")
    if strategy.cpu_only and accelerator not in ("auto", "cpu"):
        raise HymtlError(
            f"trainer.accelerator={accelerator}: int8 networks run on the CPU only, and strategy="
            f"{strategy.name} trains on one. Use trainer.accelerator=cpu, or strategy=qat, which trains on a GPU."
        )
    settings.check_accelerator(cfg)
    if accelerator in ("gpu", "cuda") and not _gpu():
        raise HymtlError(
            f"trainer.accelerator={accelerator}: torch {torch.__version__} finds no GPU that it can use. "
            "Use trainer.accelerator=cpu, or auto."
        )


def _check_precision(cfg: DictConfig, strategy: Strategy) -> None:
    asked = cfg.trainer.get("precision")
    on_cpu = strategy.cpu_only or cfg.trainer.get("accelerator", "auto") == "cpu" or not _gpu()
    known = rules.PRECISIONS_OF_CPU if on_cpu else rules.PRECISIONS
    if rules.precision(asked) in known:
        return
    where = "trains on the CPU" if on_cpu else "trains on a GPU"
    raise HymtlError(
        f"trainer.precision={asked}: strategy={strategy.name} {where} here, where hymtl knows {', '.join(known)}. "
        "Give one of these, or leave trainer.precision out."
    )


def _gpu() -> bool:
    return torch.cuda.is_available() or torch.backends.mps.is_available()
