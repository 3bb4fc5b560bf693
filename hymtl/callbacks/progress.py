"""How far training is: epoch, loss, accuracy and time left; in a sweep, which job of how many."""

import logging
import os
import sys
import time
from typing import Any, cast

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm
from torch import Tensor

from hymtl.callbacks.history import of_epoch
from hymtl.runtime import JOBS

SHOWN = {"train/loss": "loss", "train/acc": "accuracy", "val/loss": "val loss", "val/acc": "val accuracy"}

log = logging.getLogger(__name__)


def progress(*, bar: bool, job: str = "") -> Callback:
    """A bar on a terminal, where one is wanted; elsewhere a line an epoch. ``job`` is what a sweep calls this run."""
    return Bar(job) if bar and sys.stderr.isatty() else Lines(job)


def sweep_job() -> str:
    """What a sweep calls this run; empty for a single one."""
    jobs = os.environ.get(JOBS)
    if not jobs or not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return ""
    return f"job {HydraConfig.get().job.num + 1} of {jobs}"


class Lines(Callback):
    """A line of the log for each epoch."""

    def __init__(self, job: str = "") -> None:
        self.job = job
        self._left = _Left()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._left = _Left()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        log.info("%s", _line(trainer, self.job, self._left.words(trainer)))


class Bar(TQDMProgressBar):
    """Lightning's bar of an epoch's batches, with names that people use; above it a line for each epoch."""

    def __init__(self, job: str = "") -> None:
        super().__init__(leave=False)
        self.job = job
        self._left = _Left()
        self._said = ""

    def init_validation_tqdm(self) -> Tqdm:
        bar = super().init_validation_tqdm()
        bar.leave = False
        return bar

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._left = _Left()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_epoch_start(trainer, pl_module)
        self.train_progress_bar.set_description(", ".join(filter(None, (_epoch(trainer, self.job), self._said))))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        self._said = self._left.words(trainer)
        self.train_progress_bar.write(_line(trainer, self.job, self._said))

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, int | str | float | dict]:
        return {**_metrics(trainer.callback_metrics), **_running(trainer, pl_module)}


class _Left:
    """Time left, by the epochs that this process has seen."""

    def __init__(self) -> None:
        self._started, self._epochs = time.monotonic(), 0

    def words(self, trainer: pl.Trainer) -> str:
        self._epochs += 1
        remaining = (trainer.max_epochs or 0) - trainer.current_epoch - 1
        if remaining <= 0:  # conversion and pictures come yet
            return ""
        seconds = (time.monotonic() - self._started) / self._epochs * remaining
        if seconds < 100:
            return f"{seconds:.0f} s left"
        return f"{seconds / 60:.0f} min left" if seconds < 6000 else f"{seconds / 3600:.1f} h left"


def _epoch(trainer: pl.Trainer, job: str) -> str:
    """Counted from 0, as in every record."""
    epoch = f"epoch {trainer.current_epoch} (the last is {(trainer.max_epochs or 1) - 1})"
    return f"{job}, {epoch}" if job else epoch


def _line(trainer: pl.Trainer, job: str, left: str) -> str:
    shown = [f"{name} {value}" for name, value in _metrics(of_epoch(trainer)).items()]
    return ", ".join(filter(None, [_epoch(trainer, job), *shown, left]))


def _running(trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, str]:
    """Means over this epoch's photos so far, in a single process: several would have to wait for each other."""
    metrics = cast(Any, module)
    loss, accuracy = metrics.loss["train_loss"], metrics.accuracy["train_acc"]
    if trainer.world_size > 1 or not trainer.training or not loss.update_called:
        return {}
    return {"loss": f"{loss.compute().item():.3f}", "accuracy": f"{accuracy.compute().item():.3f}"}


def _metrics(found: dict[str, Tensor]) -> dict[str, str]:
    return {words: f"{found[name].item():.3f}" for name, words in SHOWN.items() if name in found}
