"""Keep what was logged, epoch by epoch, in the process and in its checkpoints."""

from typing import Any, cast

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter


def of_epoch(trainer: pl.Trainer) -> dict[str, Tensor]:
    """What was logged in this epoch; Lightning still has what the last validation said where none was due."""
    logged = trainer.callback_metrics
    if getattr(trainer.lightning_module, "validated", trainer.current_epoch) == trainer.current_epoch:
        return dict(logged)
    return {name: value for name, value in logged.items() if not name.startswith("val/")}


class History(pl.Callback):
    """``epochs`` has a dict for each finished epoch: its number, from 0, under ``"epoch"``, and what was logged.

    It goes into every checkpoint with the epoch that it was saved after, so a run that is killed and resumed has the
    history of one that was not. So are its TensorBoard curves: loggers hear of an epoch after the checkpoint, and of
    the next one's validation before it, so after a resume the last epoch is logged again, and whatever was logged from
    it on is called off.
    """

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []
        self._resumed = False

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Validation has run within the epoch, and checkpoints are saved after this.
        logged = {name: float(value) for name, value in of_epoch(trainer).items() if name != "step"}
        self.epochs.append({"epoch": trainer.current_epoch} | logged)

    def columns(self) -> dict[str, list[float | None]]:
        """The same as a list for each name, with None where an epoch lacks it."""
        names = list(dict.fromkeys(name for epoch in self.epochs for name in epoch))
        return {name: [epoch.get(name) for epoch in self.epochs] for name in names}

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        epochs = state_dict["epochs"]
        if [epoch["epoch"] for epoch in epochs] != list(range(len(epochs))):
            raise ValueError("its history is not that of one epoch after another")
        if not all(isinstance(value, int | float) for epoch in epochs for value in epoch.values()):
            raise ValueError("its history has what is no number")
        self.epochs, self._resumed = list(epochs), True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not (self._resumed and trainer.ckpt_path and self.epochs and trainer.is_global_zero):
            return
        last = self.epochs[-1]
        number = int(last["epoch"])
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                _call_off(logger.experiment, number)
                logger.log_metrics({name: value for name, value in last.items() if name != "epoch"}, number)
        self._resumed = False


def _call_off(writer: SummaryWriter, step: int) -> None:
    """Have readers of the events forget what earlier files hold from ``step`` on, as ``purge_step`` of a new writer."""
    events = cast(Any, writer.file_writer)
    events.add_event(Event(file_version="brain.Event:2"), step)
    events.add_event(Event(session_log=SessionLog(status=SessionLog.START)), step)
