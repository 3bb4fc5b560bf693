"""One job of a sweep: skipped where it is finished, resumed where it was cut short, on record where it fails.

It works on the job's folder alone, so it is the same under every launcher.
"""

import logging
import shutil
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from omegaconf import DictConfig

from hymtl import checkpoints, experiment, fingerprint, records, signals
from hymtl.errors import HymtlError
from hymtl.files import locked, write_whole
from hymtl.folder import CURVES
from hymtl.recording import git_commit
from hymtl.records import failure, predictions, result
from hymtl.records import job as job_record
from hymtl.records.job import Job
from hymtl.records.result import Result
from hymtl.signals import OutOfTime
from hymtl.sweep import slots

# What a run leaves before it has a checkpoint to resume from, or beside one that cannot be read.
LEFTOVERS = (*CURVES, "metrics.csv", "checkpoints", "artifact", "pictures", predictions.FILE)
SAME_FOLDER = (
    " Where two jobs of one sweep want the same folder, hydra.sweep.subdir='${hydra.job.num}' gives each its own."
)

log = logging.getLogger(__name__)


def run(cfg: DictConfig) -> Result | None:
    """The result record of the job that ``cfg`` describes, made now or found in its folder.

    None where it failed: then ``failure.json`` has the error and the overrides, and the sweep goes on. None too
    in other processes than the first. An interruption is no failure; it ends the sweep.
    """
    slots.take(HydraConfig.get())
    folder = Path(cfg.run_dir)
    if not signals.handled():  # a launcher's own process; the one that started the sweep says how to go on
        signals.handle()
    try:
        with locked(folder / "job"):  # the same sweep started twice
            made = _result(cfg, folder)
    except OutOfTime as error:
        _record_stop(error, folder)
        made = None
    except Exception as error:
        _record_failure(error, folder)
        return None
    (folder / failure.FILE).unlink(missing_ok=True)  # an earlier attempt's
    return made


def _result(cfg: DictConfig, folder: Path) -> Result | None:
    settings = fingerprint.settings(cfg)
    last = folder / "checkpoints" / "last.ckpt"
    if made := check_same(folder, settings, SAME_FOLDER):
        log.info("%s: finished already, skipped%s", folder.name, _made_by_other_code(made))
        return made
    _claim(folder, settings)
    if epochs := _finished_epochs(last):
        log.info("%s: resumed after %d of %d epochs on %s", folder.name, epochs, cfg.epochs, slots.where())
        cfg = cfg.copy()
        cfg.ckpt_path = str(last)
    else:
        log.info("%s: started on %s", folder.name, slots.where())
        _clear(folder)
    with signals.alarm(cfg.choose.deadline if cfg.get("choose") else None):
        return experiment.run(cfg)


def check_same(folder: Path, settings: dict, remedy: str = "") -> Result | None:
    """The result in a job's folder, if there is one; ``remedy`` is what else to try.

    Raises:
        HymtlError: if that, or a checkpoint, is of other settings: whoever changed one still has what is saved.
    """
    made, job = _read(Result, folder / result.FILE), _read(Job, folder / job_record.FILE)
    claimed = made or job
    begun = made or (folder / "checkpoints" / "last.ckpt").is_file()
    if not begun or (claimed and claimed.config_hash == fingerprint.digest(settings)):
        return made
    differing = fingerprint.differences(job.settings, settings) if job else ["which, is not on record"]
    if not differing:
        return made
    for name, text in (job.hydra if job else {}).items():  # Hydra has written this job's config over that of the other
        write_whole(folder / ".hydra" / name, text)
    raise HymtlError(
        f"{folder} holds {'the result' if made else 'a checkpoint'} of other settings: {', '.join(differing)}. "
        f"It is left as it is. Give another hydra.sweep.dir, or move that folder away.{remedy}"
    )


def _claim(folder: Path, settings: dict) -> None:
    hydra = {file.name: file.read_text() for file in sorted((folder / ".hydra").glob("*.yaml"))}
    job = Job(format=job_record.FORMAT, config_hash=fingerprint.digest(settings), settings=settings, hydra=hydra)
    records.write(job, folder / job_record.FILE)


def _finished_epochs(last: Path) -> int:
    """Epochs that a run finished before it was cut short; 0 where there is nothing to resume from."""
    if not last.exists():
        return 0
    try:
        for file in (last.with_name("best.ckpt"), last):  # without the best, resuming could not end in a result
            checkpoint = checkpoints.read(file)
        return checkpoint["epoch"] + 1
    except HymtlError as error:
        log.warning("%s: %s is damaged: %s", last.parents[1].name, file.name, error)
        return 0


def _clear(folder: Path) -> None:
    """Curves and checkpoints of an attempt that came to nothing must not mix with those of this one."""
    for pattern in LEFTOVERS:
        for path in folder.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _made_by_other_code(made: Result) -> str:
    now = git_commit()
    return "" if made.git == now else f" (made by commit {made.git}; this is {now})"


def _record_stop(error: OutOfTime, folder: Path) -> None:
    log.info("%s: stopped. %s", folder.name, error)
    if job := _read(Job, folder / job_record.FILE):
        records.write(job.model_copy(update={"stopped": str(error)}), folder / job_record.FILE)


def _record_failure(error: Exception, folder: Path) -> None:
    meant_to_be_read = isinstance(error, HymtlError | CompactHydraException)
    words = str(error) if meant_to_be_read else f"{type(error).__name__}: {error}"
    failure.write(folder, words, HydraConfig.get().overrides.task)
    log.error("%s: failed. %s", folder.name, error, exc_info=None if meant_to_be_read else error)


def _read(schema: type[records.R], file: Path) -> records.R | None:
    """None where there is none, or one that cannot be read: the job is then made anew."""
    try:
        return records.read(schema, file) if file.is_file() else None
    except HymtlError as error:
        log.warning("%s", error)
        return None
