"""Convert the best network when fitting ends."""

import io
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only

from hymtl import artifact, backbones, evaluation, fidelity, strategies


class ConvertBest(pl.Callback):
    """As the last act of fitting, turn a copy of the network with the best weights into what is deployed.

    Where the strategy quantizes, that is ``torch.ao.quantization.convert``, on the CPU. The copy is scored
    on the validation photos (``score``), compared with what it was before int8 (``cost``), timed on one photo
    (``latency``, in seconds) and saved as an artifact in ``dirpath``; the module that was fitted stays as it
    was, on its device, so that it can be tested or fitted again.
    """

    def __init__(self, dirpath: str) -> None:
        self.dirpath = Path(dirpath)
        self.score: evaluation.Score | None = None
        self.before: dict[str, evaluation.Score] = {}
        self.cost: dict | None = None
        self.latency: float | None = None
        self.bytes: dict[str, int | None] = {}

    @rank_zero_only
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        best = trainer.checkpoint_callback.best_model_path
        if not best:  # fast_dev_run and the like: nothing was trained that could be deployed
            return
        copy = type(pl_module).load_from_checkpoint(best, map_location="cpu")
        data = trainer.datamodule
        references = pl_module.strategy.before_int8(copy.network, pl_module.pretrained)  # now: finishing takes the network apart
        network = copy.strategy.finish(copy.network, data.calibration_batches())
        self.score = evaluation.score(network, data.val_dataloader())
        self.latency = evaluation.latency(network, next(iter(data.val_dataloader()))[0][:1])
        if references:
            self.before = {name: evaluation.score(net, data.val_dataloader()) for name, net in references.items()}
            self.cost = fidelity.cost(
                {**self.before, "int8": self.score}, [photo.name for photo in data.photos.splits["val"]]
            )
            self.cost["worst_layers"] = fidelity.worst_layers(
                references["float"], network, next(data.calibration_batches())
            )
        artifact.save(self.dirpath, network, copy.hparams, self._scores(trainer))
        saved = (self.dirpath / artifact.WEIGHTS).stat().st_size
        quantizes = pl_module.strategy.quantizes
        self.bytes = {
            "float": _float_bytes(copy.hparams) if quantizes else saved,
            "int8": saved if quantizes else None,
        }

    def _scores(self, trainer: pl.Trainer) -> dict:
        """What the artifact says of itself: how good it was, on what."""
        return {
            "val_acc": self.score.accuracy,
            "val_loss": self.score.loss,
            "val_photos": len(self.score.labels),
            "best_epoch": trainer.checkpoint_callback.best_epoch,
        }


def _float_bytes(hparams: dict) -> int:
    """The size of the same network's state dict in float, in bytes."""
    network = strategies.create("finetune").build(backbones.get(hparams["backbone"]), len(hparams["classes"]))
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    return buffer.getbuffer().nbytes
