"""Stop a run that will not be over in time, as soon as that shows."""

import time

import pytorch_lightning as pl

from hymtl.errors import HymtlError


class OutOfTime(HymtlError):
    """A run would take longer than it may; its checkpoint stays, so that it can go on with more time."""


class Deadline(pl.Callback):
    """Raises :class:`OutOfTime` where, at the pace of its epochs, a run would not end by ``until``, or has not ended.

    ``until`` is in seconds since 1970.
    """

    def __init__(self, until: float) -> None:
        self.until = until
        self._began, self._epochs = time.time(), 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began = time.time()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        self._check(time.time())

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        now = time.time()
        self._epochs += 1
        coming = (trainer.max_epochs or 0) - trainer.current_epoch - 1
        self._check(now + (now - self._began) / self._epochs * coming)

    def _check(self, ends: float) -> None:
        if ends > self.until:
            raise OutOfTime(f"It would end {ends - self.until:.0f} seconds after choose.hours allows.")
