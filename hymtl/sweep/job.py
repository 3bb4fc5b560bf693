"""One job of a sweep: skipped where it is finished, resumed where it was cut short, on record where it fails.

It works on the job's folder alone, so it is the same under every launcher.
"""

import json
import logging
import shutil
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from omegaconf import DictConfig

from hymtl import experiment, fingerprint, results
from hymtl.download import locked
from hymtl.errors import HymtlError
from hymtl.files import write_whole

FILE = "job.json"  # which experiment the folder is for
FAILURE = "failure.json"
# What a run leaves before it has a checkpoint to resume from, or beside one that cannot be read.
LEFTOVERS = ("events.out.tfevents.*", "checkpoints", "artifact", "pictures", "predictions.csv")

log = logging.getLogger(__name__)


def run(cfg: DictConfig) -> dict | None:
    """The result record of the job that ``cfg`` describes, made now or found in its folder.

    None where it failed: then ``failure.json`` has the error and the overrides, and the sweep goes on. None too
    in other processes than the first. An interruption is no failure; it ends the sweep.
    """
    folder = Path(cfg.run_dir)
    try:
        with locked(folder / "job"):  # the same sweep started twice
            result = _result(cfg, folder)
    except Exception as error:
        _record_failure(error, folder)
        return None
    (folder / FAILURE).unlink(missing_ok=True)
    return result


def _result(cfg: DictConfig, folder: Path) -> dict | None:
    settings = fingerprint.settings(cfg)
    result, last = _read(folder / results.FILE), folder / "checkpoints" / "last.ckpt"
    if result or last.is_file():
        _check_same(folder, result, settings)
    if result:
        log.info("%s: finished already, skipped%s", folder.name, _made_by_other_code(result))
        return result
    _claim(folder, settings)
    if epochs := _finished_epochs(last):
        log.info("%s: resumed after %d of %d epochs", folder.name, epochs, cfg.epochs)
        cfg = cfg.copy()
        cfg.ckpt_path = str(last)
    else:
        log.info("%s: started", folder.name)
        _clear(folder)
    return experiment.run(cfg)


def _check_same(folder: Path, result: dict | None, settings: dict) -> None:
    """Refuse a folder that holds another experiment: whoever changed a setting still has what is saved."""
    job = _read(folder / FILE) or {}
    if (result or job).get("config_hash") == fingerprint.digest(settings):
        return
    for name, text in job.get("hydra", {}).items():  # Hydra has written this job's config over that of the other
        write_whole(folder / ".hydra" / name, text)
    differing = ", ".join(fingerprint.differences(job["settings"], settings)) if job else "which, is not on record"
    raise HymtlError(
        f"{folder} holds {'the result' if result else 'a checkpoint'} of other settings: {differing}. It is left as "
        "it is. Give another hydra.sweep.dir, or move that folder away. Where two jobs of one sweep want the same "
        "folder, hydra.sweep.subdir='${hydra.job.num}' gives each its own."
    )


def _claim(folder: Path, settings: dict) -> None:
    hydra = {file.name: file.read_text() for file in sorted((folder / ".hydra").glob("*.yaml"))}
    job = {"config_hash": fingerprint.digest(settings), "settings": settings, "hydra": hydra}
    write_whole(folder / FILE, json.dumps(job, indent=2, default=str) + "\n")


def _finished_epochs(last: Path) -> int:
    """Epochs that a run finished before it was cut short; 0 where there is nothing to resume from."""
    if not last.exists():
        return 0
    try:
        for file in (last.with_name("best.ckpt"), last):  # without the best, resuming could not end in a result
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
        return checkpoint["epoch"] + 1
    except Exception as error:  # torch, pickle and zipfile each raise their own for a damaged file
        reason = (str(error).splitlines() or [""])[0]
        log.warning("%s: %s is damaged (%s: %s)", last.parents[1].name, file.name, type(error).__name__, reason)
        return 0


def _clear(folder: Path) -> None:
    """Curves and checkpoints of an attempt that came to nothing must not mix with those of this one."""
    for pattern in LEFTOVERS:
        for path in folder.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _made_by_other_code(result: dict) -> str:
    made, now = result["git"], results.git_commit()
    return "" if made == now else f" (made by commit {made}; this is {now})"


def _record_failure(error: Exception, folder: Path) -> None:
    record = {"error": f"{type(error).__name__}: {error}", "overrides": list(HydraConfig.get().overrides.task)}
    write_whole(folder / FAILURE, json.dumps(record, indent=2) + "\n")
    meant_to_be_read = isinstance(error, CompactHydraException)
    log.error("%s: failed. %s", folder.name, error, exc_info=None if meant_to_be_read else error)


def _read(file: Path) -> dict | None:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return None
