"""Stop where epochs no longer bring anything."""

import pytorch_lightning as pl
from pytorch_lightning import callbacks


class EarlyStopping(callbacks.EarlyStopping):
    """Lightning's, which a run that had stopped by it, and was killed before its end, has no further epoch with.

    Lightning's own asks only after an epoch, so that such a run would go on once more.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True
