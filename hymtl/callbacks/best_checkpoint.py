"""Keep the checkpoint with the best validation accuracy, or whatever else best means."""

import shutil
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor


def mode(monitor: str) -> Literal["min", "max"]:
    """Whether more or less of what is monitored is better."""
    return "min" if monitor.endswith("/loss") else "max"


class BestCheckpoint(ModelCheckpoint):
    """``best.ckpt``, by ``monitor``; of equal accuracies, which a few photos make common, the lower ``val/loss``.

    ``best_epoch`` counts from 0, as Lightning does; ``best_loss``, ``best_acc`` and ``best_balanced_acc`` are the
    ``val/loss``, ``val/acc`` and ``val/balanced_acc`` of that epoch.
    """

    def __init__(self, dirpath: str, monitor: str = "val/acc") -> None:
        super().__init__(dirpath, filename="best", monitor=monitor, mode=mode(monitor), enable_version_counter=False)
        self.best_loss = float("inf")
        self.best_acc = 0.0
        self.best_balanced_acc: float | None = None
        self.best_epoch = -1

    def check_monitor_top_k(self, trainer: pl.Trainer, current: Tensor | None = None) -> bool:
        better = super().check_monitor_top_k(trainer, current)
        if better or current is None or current != self.best_model_score:
            return better
        return bool(trainer.callback_metrics["val/loss"] < self.best_loss)

    def _update_best_and_save(self, current: Tensor, trainer: pl.Trainer, monitor_candidates: dict) -> None:
        # Before super() writes the file, so that the checkpoint's own record of this callback has them.
        logged = trainer.callback_metrics
        self.best_loss, self.best_acc = logged["val/loss"].item(), logged["val/acc"].item()
        balanced = logged.get("val/balanced_acc")  # which a module of one's own may not log
        self.best_balanced_acc = None if balanced is None else balanced.item()
        self.best_epoch = trainer.current_epoch
        super()._update_best_and_save(current, trainer, monitor_candidates)

    def state_dict(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("best_loss", "best_acc", "best_balanced_acc", "best_epoch")}
        return super().state_dict() | own

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        _check(state_dict, scored=self.monitor is not None)
        super().load_state_dict(self._brought_here(state_dict))
        self.best_loss, self.best_epoch = state_dict["best_loss"], state_dict["best_epoch"]
        # Checkpoints of earlier versions, which knew val/acc alone, lack these.
        self.best_acc = state_dict["best_acc"] if "best_acc" in state_dict else float(state_dict["best_model_score"])
        self.best_balanced_acc = state_dict.get("best_balanced_acc")

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


def _check(state: dict[str, Any], *, scored: bool) -> None:
    """A checkpoint may come from anyone, and a path in it lead anywhere: the best is one file beside the last.

    ``scored``: whether it is the best by what is monitored, and not the last.
    """
    score, kept = state["best_model_score"], state["best_k_models"]
    one = isinstance(score, Tensor) and score.numel() == 1 if scored else score is None
    if not one or not isinstance(state["best_epoch"], int):
        raise ValueError("it does not say which epoch was the best")
    for name in ("best_loss", "best_acc", "best_balanced_acc"):
        if not isinstance(state.get(name, 0.0), int | float | None):
            raise ValueError(f"{name} is no number")
    paths = {state["best_model_path"], state["kth_best_model_path"], *kept}
    if not all(isinstance(path, str) and Path(path).name in ("", "best.ckpt") for path in paths):
        raise ValueError("it names another file than best.ckpt as the best checkpoint")
