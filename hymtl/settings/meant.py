"""What was probably meant by a word of the command line that cannot be obeyed."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hymtl.errors import did_you_mean
from hymtl.runtime import train_command

LOOK = f"All settings: {train_command()} --cfg job"
LOOK_AT_HYDRA = f"All settings of Hydra's: {train_command()} --cfg hydra"
FEW = 16  # names that a message may list
NULL = "null"
NOTHING = ("none", "no", "off", "false", "disabled", "nothing", "")  # what people write for null

BROUGHT = {"choose": "experiment=choose"}  # groups that an experiment chooses

# What other frameworks call things.
ELSEWHERE = {
    "learning_rate": "lr", "learningrate": "lr", "wd": "weight_decay", "decay": "weight_decay",
    "model": "backbone", "network": "backbone", "net": "backbone", "arch": "backbone", "architecture": "backbone",
    "encoder": "backbone", "optimizer": "optim", "dataset": "data", "lr_scheduler": "scheduler",
    "method": "strategy", "bs": "batch_size", "batch": "batch_size", "batchsize": "batch_size",
    "num_workers": "workers", "n_workers": "workers", "num_epochs": "epochs", "n_epochs": "epochs",
    "max_epochs": "epochs", "max_epoch": "epochs", "epoch": "epochs", "gpus": "devices", "device": "accelerator",
    "random_seed": "seed", "manual_seed": "seed", "image_size": "resize", "img_size": "resize", "size": "resize",
    "augment": "augmentation", "aug": "augmentation", "transform": "augmentation", "pretrained": "weights",
    "data_dir": "root", "path": "root", "dir": "root", "clip": "gradient_clip_val", "grad_clip": "gradient_clip_val",
    "val_size": "val_fraction", "val_split": "val_fraction", "test_size": "test_fraction", "patience": "early_stopping",
    "early_stop": "early_stopping", "k_folds": "folds", "n_splits": "folds",
}  # fmt: skip


def setting(name: str, value: Any, names: Sequence[str], groups: Mapping[str, Sequence[str]]) -> str:
    """A sentence that says which of the settings ``names`` was probably meant, or which choice of ``groups``."""
    look = LOOK_AT_HYDRA if name.startswith("hydra") else LOOK
    group, inside, _ = name.partition(".")
    if inside and group in groups and not any(f"{other}.".startswith(f"{group}.") for other in names):
        chosen = BROUGHT.get(group, f"{group}={'|'.join(groups[group])}")
        return f"{group} is null, and its settings come with a choice: {chosen}."
    if guess := _guess(name, str(value), names, groups):
        return f"Did you mean {guess}? {look}"
    section = name.rpartition(".")[0]
    beside = [other for other in names if section and other.rpartition(".")[0] == section]
    beside = sorted(other for other in beside if not other.startswith(f"{section}._"))
    return f"Choose from: {', '.join(beside)}." if 0 < len(beside) <= FEW else look


def _guess(name: str, value: str, names: Sequence[str], groups: Mapping[str, Sequence[str]]) -> str | None:
    section, _, key = name.lower().rpartition(".")
    wanted = ELSEWHERE.get(key, key)
    choices = [group for group, options in groups.items() if value in options]
    if not section and choices:  # model=resnet18
        closest = difflib.get_close_matches(wanted, choices, n=1, cutoff=0.0)
        return f"{closest[0]}={value}"
    if section in groups and key in ("name", "type"):  # optim.name=adam
        close = difflib.get_close_matches(value.lower(), groups[section], n=1)
        return f"{section}={close[0]}" if close else None
    names = [other for other in names if not name.startswith(f"{other}.")]  # its own section is none
    same = [other for other in names if other.rpartition(".")[2].lower() == wanted]
    if same:
        return min(same, key=lambda other: (not other.startswith(f"{section}."), other.count("."), len(other)))
    if wanted in groups:
        return wanted
    if section:
        beside = {o.rpartition(".")[2].lower(): o for o in names if o.lower().startswith(f"{section}.")}
        if close := difflib.get_close_matches(key, beside, n=1, cutoff=0.65):
            return beside[close[0]]
        names = [other for other in names if other not in beside.values()]
    lower = {other.lower(): other for other in names} | {o.rpartition(".")[2].lower(): o for o in reversed(names)}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.75)
    return lower[close[0]] if close else None


def choice(group: str, option: str, options: Sequence[str]) -> str:
    """Why ``group=option`` is none of its ``options``, and which was meant."""
    said = f"{group}={option} is unknown."
    if option.lower() in NOTHING and NULL in options:
        return f"{said} Did you mean {group}=null? Choose from: {', '.join(options)}."
    if group == "data" and Path(option).expanduser().exists():
        kind = "folder" if Path(option).expanduser().is_dir() else "csv"
        return f"{said} Did you mean data={kind} data.root={option}? Choose from: {', '.join(options)}."
    inside = [other for other in options if other.endswith(f"/{option}")]
    hint = (
        f"Did you mean '{inside[0]}'? Choose from: {', '.join(options)}." if inside else did_you_mean(option, options)
    )
    return f"{said} {hint}"


def one_of(group: str, word: str, options: Sequence[object]) -> str:
    """Why ``word`` cannot choose several ``options``, and what runs each of them."""
    each = f" To run each: -m {group}={','.join(map(str, options))}." if options else ""
    remedy = " logger=many has all, and ~logger.NAME takes one out." if group == "logger" else each
    return f"{word}: one choice is possible, no list.{remedy}"


def spelling(word: str) -> str:
    """Why Hydra cannot read ``word``, as far as its signs tell."""
    name, equals, value = word.partition("=")
    if not equals:
        return f"{word or 'an empty word'}: expected NAME=VALUE. {LOOK}"
    if re.search(r"[\s;,][+~]*[\w./]+=", value) and not set(value) & set("[]{}()"):
        return f"{word}: settings are words of their own: " + " ".join(re.split(r"[\s;,]+", word))
    if value.startswith("="):
        return f"{word}: one = is enough: {name}={value.lstrip('=')}"
    listed = value.startswith("[") and value.endswith("]")
    plain = value[1:-1] if listed else value
    if not set(plain) & set("[]{}()'\"") and not all(parts := plain.split(",")):
        left = ",".join(filter(None, parts))
        return f"{word}: there is a comma too many: {name}={f'[{left}]' if listed else left}"
    if not word.isascii() and not set(value) & set("[]{}()'\""):
        return _not_ascii(word, name, value)
    quoted = value.strip("\"'")
    return (
        f"{word} cannot be read: what has brackets, commas, quotes or = in it needs quotes of its own: "
        f"""'{name}="{quoted}"'"""
    )


def _not_ascii(word: str, name: str, value: str) -> str:
    if not name.isascii():
        return f"{word}: there is no such setting. All names are of plain letters. {LOOK}"
    return f"""{word}: what is not of plain letters and digits needs quotes of its own: '{name}="{value}"'"""
