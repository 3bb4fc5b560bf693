"""Keep what was logged, epoch by epoch, in the process and in its checkpoints."""

from typing import Any

import pytorch_lightning as pl


class History(pl.Callback):
    """``epochs`` has a dict for each finished epoch: its number, from 0, under ``"epoch"``, and what was logged.

    It goes into every checkpoint with the epoch that it was saved after, so a run that is killed and resumed has the
    history of one that was not.
    """

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Validation has run within the epoch, and checkpoints are saved after this.
        logged = {name: float(value) for name, value in trainer.callback_metrics.items() if name != "step"}
        self.epochs.append({"epoch": trainer.current_epoch} | logged)

    def columns(self) -> dict[str, list[float | None]]:
        """The same as a list for each name, with None where an epoch lacks it."""
        names = list(dict.fromkeys(name for epoch in self.epochs for name in epoch))
        return {name: [epoch.get(name) for epoch in self.epochs] for name in names}

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = list(state_dict["epochs"])
