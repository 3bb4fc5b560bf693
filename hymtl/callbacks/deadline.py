"""Stop a run that will not be over in time, as soon as that shows."""

import time

import pytorch_lightning as pl

from hymtl.signals import OutOfTime


class Deadline(pl.Callback):
    """Raises :class:`OutOfTime` where, at the pace of its epochs, a run would not end by ``until``.

    ``until`` is in seconds since 1970. It looks as an epoch starts, when the one before is in its checkpoint.
    """

    def __init__(self, until: float) -> None:
        self.until = until
        self._began, self._epochs = time.time(), 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began = time.time()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        now = time.time()
        coming = (trainer.max_epochs or 0) - trainer.current_epoch
        ends = now + (now - self._began) / max(1, self._epochs) * coming
        self._epochs += 1
        if ends > self.until:
            raise OutOfTime(f"It would end {ends - self.until:.0f} seconds after choose.hours allows.")
