"""Train and validation in one TensorBoard chart, the first that TensorBoard shows."""

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from torch.utils.tensorboard import SummaryWriter

from hymtl.callbacks.history import of_epoch

STAGES = ("train", "val")
CHARTS = {"accuracy": "acc", "loss": "loss"}  # in the order of the alphabet, which is TensorBoard's


class Curves(pl.Callback):
    """Writes ``accuracy`` and ``loss`` of each epoch as the runs ``RUN/train`` and ``RUN/val``.

    TensorBoard draws one line a run in a chart, so two lines in one chart are two runs; ``train/loss``, ``val/loss``
    and the others stay in the run itself.
    """

    def __init__(self) -> None:
        self._writers: dict[str, SummaryWriter] = {}

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        logger = next((logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)), None)
        if logger is None or trainer.fast_dev_run:
            return
        logged = of_epoch(trainer)
        for stage in STAGES:
            if stage not in self._writers:
                self._writers[stage] = SummaryWriter(str(Path(logger.log_dir) / stage))
            for chart, metric in CHARTS.items():
                value = logged.get(f"{stage}/{metric}")
                if value is not None:
                    self._writers[stage].add_scalar(chart, value.item(), trainer.current_epoch)
            self._writers[stage].flush()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
