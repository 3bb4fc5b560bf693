"""Stop a run that will not be over in time, as soon as that shows."""

import time

import pytorch_lightning as pl

from hymtl.signals import OutOfTime

FIRST = 2.0  # times a later epoch, at most, that the first one takes: it decodes pictures, and all is cold


class Deadline(pl.Callback):
    """Raises :class:`OutOfTime` where, at the pace of its epochs, a run would not end by ``until``.

    ``until`` is in seconds since 1970. It looks as an epoch starts, when the one before is in its checkpoint. What
    comes before the first epoch, as solving a head, has no part in the pace. On features there is none: epochs are
    slow until those of all views are there, so that such a run is stopped only once it is ``until``.
    """

    def __init__(self, until: float) -> None:
        self.until = until
        self._started: list[float] = []  # each epoch, in seconds since 1970

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        on_features = trainer.datamodule.batches is not trainer.datamodule.pictures
        self._started.append(time.time())
        coming = (trainer.max_epochs or 0) - trainer.current_epoch
        ends = self._started[-1] + (0.0 if on_features else self._pace() * coming)
        if ends > self.until:
            raise OutOfTime(f"It would end {ends - self.until:.0f} seconds after choose.hours allows.")

    def _pace(self) -> float:
        """Seconds that another epoch takes, as far as is known; 0 before the first."""
        started = self._started
        if len(started) < 3:
            return (started[-1] - started[0]) / FIRST
        return (started[-1] - started[1]) / (len(started) - 2)
