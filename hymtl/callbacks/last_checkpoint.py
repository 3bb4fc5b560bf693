"""Keep the checkpoint of the last epoch, where no photo was held out that could tell a better one."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint

from hymtl.callbacks.best_checkpoint import BestCheckpoint
from hymtl.records.result import Best


class LastCheckpoint(BestCheckpoint):
    """``best.ckpt``, every epoch anew; its scores are those of folds, see :mod:`hymtl.deploy.held_out`."""

    def __init__(self, dirpath: str, held_out: Best) -> None:
        ModelCheckpoint.__init__(self, dirpath, filename="best", monitor=None, enable_version_counter=False)
        self.best_loss = float("nan") if held_out.val_loss is None else held_out.val_loss
        self.best_acc, self.best_balanced_acc = held_out.val_acc, held_out.balanced_acc
        self.best_epoch = -1

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.best_epoch = trainer.current_epoch
        super().on_train_epoch_end(trainer, pl_module)
