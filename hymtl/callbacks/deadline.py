"""Stop a run that will not be over in time, as soon as that shows."""

import time

import pytorch_lightning as pl

from hymtl.signals import OutOfTime


class Deadline(pl.Callback):
    """Raises :class:`OutOfTime` where, at the pace of its epochs, a run would not end by ``until``.

    ``until`` is in seconds since 1970. It looks as an epoch starts, when the one before is in its checkpoint. What
    comes before the first epoch, as solving a head, has no part in the pace.
    """

    def __init__(self, until: float) -> None:
        self.until = until
        self._began, self._epochs = 0.0, 0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        now = time.time()
        if not self._epochs:
            self._began = now
        coming = (trainer.max_epochs or 0) - trainer.current_epoch
        ends = now + (now - self._began) / max(1, self._epochs) * coming
        self._epochs += 1
        if ends > self.until:
            raise OutOfTime(f"It would end {ends - self.until:.0f} seconds after choose.hours allows.")
