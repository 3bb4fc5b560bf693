"""Whether two runs are the same experiment."""

import hashlib
import json
from typing import cast

from omegaconf import DictConfig, OmegaConf, open_dict


def settings(cfg: DictConfig) -> dict:
    """What makes an experiment the one it is, resolved, in plain types: all of ``cfg`` but where it is kept."""
    kept = cfg.copy()
    with open_dict(kept):
        kept.run_dir, kept.ckpt_path = "", None  # callbacks point below run_dir
        kept.logger = None  # who is told decides nothing
        kept.pop("choose", None)  # what is asked of a race is asked of none of its runs
        kept.pop("resume", None)  # as ckpt_path, but younger than some records
    return cast(dict, OmegaConf.to_container(kept, resolve=True))


def digest(settings: dict) -> str:
    """sha256, in hex, of what :func:`settings` returned."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


def differences(old: dict, new: dict, path: str = "") -> list[str]:
    """The settings that differ, each as ``optim.lr (0.001, now 0.01)``; one that is not there is null."""
    found = []
    for key in sorted(old.keys() | new.keys(), key=str):
        before, now = old.get(key), new.get(key)
        if f"{path}{key}" == "trainer.max_epochs":  # which is epochs
            continue
        if isinstance(before, dict) and isinstance(now, dict):
            found += differences(before, now, f"{path}{key}.")
        elif not _same(before, now, exactly=path == "trainer."):
            found.append(f"{path}{key} ({_shown(before)}, now {_shown(now)})")
    return found


def _same(before: object, now: object, *, exactly: bool) -> bool:
    """1 is 1.0, but not true; ``exactly``, for Lightning's trainer, to which one is a batch and the other all of them:
    not even that.
    """
    kinds = {type(before), type(now)}
    return before == now and (len(kinds) == 1 or not (exactly or bool in kinds))


def _shown(value: object) -> str:
    return "null" if value is None else str(value)
