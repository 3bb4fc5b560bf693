"""What validation saw of the best network, so that it need not be scored once more to be deployed."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from hymtl.deploy.evaluation import Validated
from hymtl.identity import identity


class BestValidation(pl.Callback):
    """``of(trainer)`` is what the network of the best checkpoint gave for the validation photos, where that is known.

    Known it is where scoring would run the very same: pictures, in float32, on the CPU, in one process, which is this
    one and not the one that a run was resumed from. The digest is of the weights while they are validated: other
    callbacks may put others in place before or after, and then nothing is taken for the score of what it is not.
    """

    def __init__(self) -> None:
        self._best: Validated | None = None
        self._latest: Validated | None = None
        self._epoch = -1  # of the latest
        self._begun_as = ""
        self._features: list[Tensor] = []
        self._labels: list[Tensor] = []

    def of(self, trainer: pl.Trainer) -> Validated | None:
        if getattr(trainer.checkpoint_callback, "best_epoch", None) == self._epoch:
            self._best = self._latest
        return self._best

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not _runs_as_scoring_does(trainer, pl_module, batch):
            return
        if batch_idx == 0:
            self.of(trainer)  # before the latest is another
            self._latest, self._epoch = None, trainer.current_epoch
            self._begun_as, self._features, self._labels = identity(pl_module.network), [], []
        self._hook = pl_module.network.head.register_forward_pre_hook(self._keep)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not _runs_as_scoring_does(trainer, pl_module, batch):
            return
        self._hook.remove()
        self._labels.append(batch[1])
        last = sum(map(len, self._labels)) == len(trainer.datamodule.pictures.photos.splits["val"])
        if last and identity(pl_module.network) == self._begun_as:  # observers may have moved
            with torch.inference_mode(False):
                self._latest = Validated(self._begun_as, torch.cat(self._features).clone(), torch.cat(self._labels))

    def _keep(self, head: torch.nn.Module, features: tuple[Tensor]) -> None:
        self._features.append(features[0])


def _runs_as_scoring_does(trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any) -> bool:
    return (
        trainer.state.fn == TrainerFn.FITTING
        and not trainer.sanity_checking
        and trainer.precision == "32-true"
        and trainer.world_size == 1
        and pl_module.device.type == "cpu"
        and isinstance(batch[0], Tensor)  # no kept features, of which scores are quick
    )
