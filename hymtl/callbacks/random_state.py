"""What is random in a resumed run: the same dropout, order and augmentation as in one that was never stopped."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from hymtl.data.datamodule import PhotoDataModule


class RandomState(pl.Callback):
    """Saves torch's random state, of the CPU and of the first process's GPU, and puts it back before training goes on.

    Augmentation has no need of it (see :class:`hymtl.data.dataset.PhotoDataset`), only of the epoch; dropout has.
    """

    def __init__(self) -> None:
        self._restored: dict[str, Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        state = {"cpu": torch.get_rng_state()}
        # Only where training began to use it: asking would start CUDA.
        return state | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_initialized() else {})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        pictures = getattr(trainer, "datamodule", None)
        if isinstance(pictures, PhotoDataModule):
            pictures.begins_with = checkpoint["epoch"] + 1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Not sooner: building loaders and metrics may draw. A checkpoint's tensors were moved with the rest of it.
        if "cpu" in self._restored:
            torch.set_rng_state(self._restored["cpu"].cpu())
        if "cuda" in self._restored and torch.cuda.is_initialized():
            torch.cuda.set_rng_state(self._restored["cuda"].cpu())
        self._restored = {}
