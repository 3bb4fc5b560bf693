"""What a setting may be, as far as its value alone tells."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeGuard

from omegaconf import DictConfig

from hymtl.errors import HymtlError, check_epochs, check_views
from hymtl.settings import nodes

Rule = tuple[str, Callable[[object], bool]]  # what is expected, in words, and whether a value is that

LARGEST_SEED = 2**32 - 1  # numpy's
LARGEST_BATCH = 1_000_000
MOST_WORKERS = 256  # for each process that trains; a worker takes 0.2 GB of memory
LARGEST_PICTURE = 10_000  # pixels of its shorter side, which take 0.3 GB of memory
# Lightning knows more, whose networks and pictures are of another type than those that are deployed. On a CPU it puts
# bfloat16 in place of 16-mixed.
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "auto")
PRECISIONS_OF_CPU = tuple(name for name in PRECISIONS if name != "16-mixed")
_SHORT = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed", "None": "32-true"}  # Lightning's other names
PERIODS, RATE = ("_epochs", "_after"), "_lr"  # what options of a strategy end in that count epochs, or are a rate


def precision(asked: object) -> str:
    """A value of ``trainer.precision`` by its long name."""
    return _SHORT.get(str(asked), str(asked))


def _whole(least: int, most: float = math.inf) -> Rule:
    words = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
    return f"a whole number {words}", lambda v: _is_number(v) and isinstance(v, int) and least <= v <= most


def _number(words: str, holds: Callable[[float], bool]) -> Rule:
    """A finite number, of which ``holds`` says the rest."""

    return words, lambda v: _is_number(v) and holds(v)


def _is_number(value: object) -> TypeGuard[int | float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


def _one_of(*choices: str | None) -> Rule:
    return " or ".join(choice or "null" for choice in choices), lambda v: v in choices


def _or(*rules: Rule) -> Rule:
    return " or ".join(words for words, _ in rules), lambda v: any(holds(v) for _, holds in rules)


def _is_expression(value: object) -> bool:
    try:
        re.compile(str(value))
    except re.error:
        return False
    return isinstance(value, str) and bool(value)


def _is_share_of_batches(value: object) -> bool:
    return _is_number(value) and (value >= 1 if isinstance(value, int) else 0 < value <= 1)


def _is_time(value: object) -> bool:
    return isinstance(value, DictConfig) or bool(
        re.fullmatch(r"\d+(:\d\d){3}", str(value)) and set(str(value)) - set("0:")
    )


def _only(value: object, words: str) -> Rule:
    return words, lambda v: v == value


NULL: Rule = ("null", lambda v: v is None)
BOOL: Rule = ("true or false", lambda v: isinstance(v, bool))
TEXT: Rule = ("a text", lambda v: isinstance(v, str) and bool(v))
PATH: Rule = ("a path (of a name that is a number: ./2024)", lambda v: isinstance(v, str | Path) and bool(str(v)))
NOT_NEGATIVE = _number("a number of at least 0", lambda v: v >= 0)
POSITIVE = _number("a number above 0", lambda v: v > 0)
SHARE = _number("a number from 0 to 1", lambda v: 0 <= v <= 1)
GIGABYTES = _number("a number of gigabytes", lambda v: v >= 0)
BATCHES: Rule = ("a number of batches of at least 1, or a fraction of them above 0, at most 1.0", _is_share_of_batches)

RULES: dict[str, Rule] = {
    "seed": _whole(0, LARGEST_SEED),
    "epochs": _whole(1),
    "monitor": _one_of("val/acc", "val/balanced_acc", "val/loss"),
    "early_stopping": _or(NULL, _whole(1)),
    "loss.class_weights": _one_of("auto", None),
    "calibration": _one_of("temperature", None),
    "ckpt_path": _or(NULL, PATH),
    "data.root": _or(NULL, PATH),
    "data.balance": BOOL,
    "data.batch_size": _whole(1, LARGEST_BATCH),
    "data.resize": _whole(1, LARGEST_PICTURE),
    "data.resize_at_224": _whole(224, LARGEST_PICTURE),
    "data.workers": _or(("'auto'", lambda v: v == "auto"), _whole(0, MOST_WORKERS)),
    "data.folds": _or(NULL, _whole(2)),
    "data.fold": _or(NULL, _whole(0)),
    "data.val_fraction": _or(NULL, _number("a number above 0 and below 1", lambda v: 0 < v < 1)),
    "data.train_fraction": _number("a number above 0, at most 1", lambda v: 0 < v <= 1),
    "data.test_fraction": _number("a number from 0 to below 1", lambda v: 0 <= v < 1),
    "data.split_seed": _whole(0),
    "data.group": _or(NULL, ("a regular expression", _is_expression)),
    "data.on_bad": _one_of("error", "skip"),
    "data.leaks": _one_of("drop", None),
    "data.mixing": _one_of("mixup", "cutmix", None),
    "data.cache_gb": GIGABYTES,
    "data.features_gb": GIGABYTES,
}

# Of settings that not every choice of their group has.
WHERE_GIVEN: dict[str, Rule] = {
    "backbone.weights": _or(("imagenet", lambda v: v == "imagenet"), NULL, PATH),
    "backbone.model": TEXT,
    "optim.lr": NOT_NEGATIVE,
    "optim.weight_decay": NOT_NEGATIVE,
    "optim.momentum": _number("a number from 0 to below 1", lambda v: 0 <= v < 1),
    "scheduler.interval": _one_of("step", "epoch"),
    "scheduler.step_size": _whole(1),
    "scheduler.gamma": NOT_NEGATIVE,
    "scheduler.T_max": _whole(1),
    "scheduler.warmup": SHARE,
    "scheduler.pct_start": SHARE,
    "scheduler.div_factor": POSITIVE,
    "scheduler.final_div_factor": POSITIVE,
    "callbacks.features.disk_gb": GIGABYTES,
    "trainer.precision": (" or ".join(PRECISIONS), lambda v: precision(v) in PRECISIONS),
    "trainer.gradient_clip_val": _or(NULL, NOT_NEGATIVE),
    "trainer.log_every_n_steps": _whole(1),
    "trainer.limit_train_batches": BATCHES,
    "trainer.limit_val_batches": BATCHES,
    "trainer.limit_test_batches": _or(_only(0, "0"), BATCHES),
    "trainer.limit_predict_batches": _or(_only(0, "0"), BATCHES),
    "trainer.overfit_batches": _or(_only(0, "0"), BATCHES),
    "trainer.fast_dev_run": _or(BOOL, _whole(0)),
    "trainer.min_epochs": _or(NULL, _whole(0)),
    "trainer.min_steps": _or(NULL, _whole(0)),
    "trainer.max_steps": _or(_only(-1, "-1 (as many as epochs have)"), _whole(1)),
    "trainer.max_time": _or(NULL, ("days:hours:minutes:seconds as in 00:01:30:00", _is_time)),
    "trainer.check_val_every_n_epoch": _or(NULL, _whole(1)),
    "trainer.val_check_interval": _or(NULL, BATCHES),
    "trainer.num_sanity_val_steps": _or(_only(-1, "-1 (all)"), _whole(0)),
    "trainer.accumulate_grad_batches": _whole(1),
    "trainer.gradient_clip_algorithm": _one_of("norm", "value", None),
    "trainer.reload_dataloaders_every_n_epochs": _whole(0),
    "trainer.enable_checkpointing": _or(NULL, _only(True, "true, as a result is made of the best checkpoint")),
    "trainer.barebones": _only(False, "false, as a result is made of the best checkpoint"),
}


def check(cfg: DictConfig) -> None:
    """Refuse what a setting cannot be.

    Raises:
        HymtlError: naming the setting and what it may be.
    """
    for name, (expected, holds) in (RULES | WHERE_GIVEN).items():
        value = nodes.resolved(cfg, name)
        if value is nodes.ABSENT and name in WHERE_GIVEN:
            continue
        value = None if value is nodes.ABSENT else value
        if not holds(value):
            raise HymtlError(f"{name}={shown(value)}: expected {expected}.")
    check_views(cfg.strategy.get("views"))
    for option, value in cfg.strategy.items():
        if str(option).endswith(PERIODS):
            check_epochs(f"strategy.{option}", value)
        if str(option).endswith(RATE) and not NOT_NEGATIVE[1](value):
            raise HymtlError(f"strategy.{option}={shown(value)}: expected {NOT_NEGATIVE[0]}.")


def shown(value: object) -> str:
    """A value as YAML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and _is_like_a_number(value):  # quoted on the command line
        return f"'{value}'"
    return "null" if value is None else str(value)


def _is_like_a_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
