"""Convert the best network when fitting ends."""

import copy
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only

from hymtl import checkpoints
from hymtl.callbacks.best_validation import BestValidation
from hymtl.deploy.convert import convert
from hymtl.deploy.held_out import HeldOut
from hymtl.network import Classifier
from hymtl.runtime import give_back


class ConvertBest(pl.Callback):
    """As the last act of fitting, convert a copy of the network that has the best weights, and save it in ``dirpath``.

    What :func:`hymtl.deploy.convert.convert` made is in the module's ``deployed``. The module that was fitted stays as
    it was, on its device, so that it can be tested or fitted again.
    """

    def __init__(
        self,
        dirpath: str,
        calibration: str | None = None,
        folds: HeldOut | None = None,
        validation: BestValidation | None = None,
    ) -> None:
        self.dirpath, self.calibration, self.folds, self.validation = Path(dirpath), calibration, folds, validation

    @rank_zero_only
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        give_back()
        best = trainer.checkpoint_callback
        if not best or not best.best_model_path:  # fast_dev_run and the like: nothing that could be deployed
            return
        data = trainer.datamodule
        pl_module.deployed = convert(
            _trained(pl_module.network, best.best_model_path),
            pl_module.strategy,
            pl_module.pretrained,
            data.pictures,
            self.dirpath,
            pl_module.hparams,
            batches=data.batches,
            best_epoch=getattr(best, "best_epoch", None),
            calibrated=self.calibration is not None,
            folds=self.folds,
            validated=self.validation.of(trainer) if self.validation else None,
        )


def _trained(network: Classifier, checkpoint: str) -> Classifier:
    """A copy of the network, on the CPU, with the weights of a checkpoint; to build it anew would take longer."""
    state = checkpoints.read(Path(checkpoint))["state_dict"]
    copied = copy.deepcopy(network).cpu()
    copied.load_state_dict({name.removeprefix("network."): value for name, value in state.items()})
    return copied.to(memory_format=torch.channels_last)  # as the pictures come
