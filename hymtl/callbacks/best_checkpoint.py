"""Keep the checkpoint with the best validation accuracy."""

import shutil
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor


class BestCheckpoint(ModelCheckpoint):
    """``best.ckpt``, by ``val/acc``; of equal accuracies, which a few photos make common, the lower ``val/loss``.

    ``best_epoch`` counts from 0, as Lightning does; ``best_loss`` is the ``val/loss`` of that epoch.
    """

    def __init__(self, dirpath: str) -> None:
        super().__init__(dirpath, filename="best", monitor="val/acc", mode="max", enable_version_counter=False)
        self.best_loss = float("inf")
        self.best_epoch = -1

    def check_monitor_top_k(self, trainer: pl.Trainer, current: Tensor | None = None) -> bool:
        better = super().check_monitor_top_k(trainer, current)
        if better or current is None or current != self.best_model_score:
            return better
        return bool(trainer.callback_metrics["val/loss"] < self.best_loss)

    def _update_best_and_save(self, current: Tensor, trainer: pl.Trainer, monitor_candidates: dict) -> None:
        # Before super() writes the file, so that the checkpoint's own record of this callback has them.
        self.best_loss = trainer.callback_metrics["val/loss"].item()
        self.best_epoch = trainer.current_epoch
        super()._update_best_and_save(current, trainer, monitor_candidates)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"best_loss": self.best_loss, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(self._brought_here(state_dict))
        self.best_loss, self.best_epoch = state_dict["best_loss"], state_dict["best_epoch"]

    def _brought_here(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state of a run that is resumed in another folder, its best checkpoint copied along.

        Lightning would forget the score, and call the first epoch after the resume the best.
        """
        old, new = Path(state["best_model_path"]), Path(self.dirpath) / "best.ckpt"
        if not old.is_file() or old == new:
            return state
        new.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(old, new)
        return state | {
            "dirpath": self.dirpath,
            "best_model_path": str(new),
            "kth_best_model_path": str(new),
            "best_k_models": {str(new): state["best_model_score"]},
        }
