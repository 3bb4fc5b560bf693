"""Convert the best network when fitting ends."""

import copy
import io
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only
from torch.utils.data import DataLoader

from hymtl import artifact, backbones, evaluation, fidelity, strategies
from hymtl.data import PhotoDataModule
from hymtl.network import Classifier


class ConvertBest(pl.Callback):
    """As the last act of fitting, turn a copy of the network with the best weights into what is deployed.

    Where the strategy quantizes, that is ``torch.ao.quantization.convert``, on the CPU. The copy is scored
    on the validation photos (``score``) and, where there is a test part, on that (``test_score``), compared
    with what it was before int8 (``before``, ``cost``), timed on one photo (``latency``, in seconds) and saved as
    an artifact in ``dirpath``. The module that was fitted stays as it was, on its device, so that it can be
    tested or fitted again.
    """

    def __init__(self, dirpath: str) -> None:
        self.dirpath = Path(dirpath)
        self.score: evaluation.Score | None = None
        self.test_score: evaluation.Score | None = None
        self.before: dict[str, evaluation.Score] = {}
        self.cost: dict | None = None
        self.latency: float | None = None
        self.bytes: dict[str, int | None] = {}

    @rank_zero_only
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        best = trainer.checkpoint_callback.best_model_path
        if not best:  # fast_dev_run and the like: nothing was trained that could be deployed
            return
        data, strategy = trainer.datamodule, pl_module.strategy
        trained = _trained(pl_module.network, best)
        references = strategy.before_int8(trained, pl_module.pretrained)  # now, as finishing takes the network apart
        network = strategy.finish(trained, data.calibration_batches())
        self._judge(network, data)
        if references:
            self._compare(references, network, data)
        artifact.save(self.dirpath, network, pl_module.hparams, self._scores(trainer))
        self.bytes = self._sizes(pl_module.hparams, strategy.quantizes)

    def _judge(self, network: Classifier, data: PhotoDataModule) -> None:
        self.score = evaluation.score(network, data.val_dataloader())
        if "test" in data.photos.splits:
            self.test_score = evaluation.score(network, data.test_dataloader())
        self.latency = evaluation.latency(network, data.first_batch("val")[0][:1])

    def _compare(self, references: dict[str, Classifier], int8: Classifier, data: PhotoDataModule) -> None:
        self.before = {name: evaluation.score(network, _val(data, network)) for name, network in references.items()}
        self.cost = fidelity.cost(
            {**self.before, "int8": self.score}, [photo.name for photo in data.photos.splits["val"]]
        )
        training_pictures = next(data.calibration_batches())
        self.cost["worst_layers"] = fidelity.worst_layers(references["float"], int8, training_pictures)

    def _scores(self, trainer: pl.Trainer) -> dict:
        """What the artifact says of itself: how good it was, on what."""
        return {
            "val_acc": self.score.accuracy,
            "val_loss": self.score.loss,
            "val_photos": len(self.score.labels),
            "best_epoch": trainer.checkpoint_callback.best_epoch,
        }

    def _sizes(self, hparams: dict, quantizes: bool) -> dict[str, int | None]:
        """Bytes of the saved weights, and of the same network's in float."""
        saved = (self.dirpath / artifact.WEIGHTS).stat().st_size
        if not quantizes:
            return {"float": saved, "int8": None}
        network = strategies.create("finetune").build(backbones.get(hparams["backbone"]), len(hparams["classes"]))
        buffer = io.BytesIO()
        torch.save(network.state_dict(), buffer)
        return {"float": buffer.getbuffer().nbytes, "int8": saved}


def _trained(network: Classifier, checkpoint: str) -> Classifier:
    """A copy of the network, on the CPU, with the weights of a checkpoint; to build it anew would take longer."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    copied = copy.deepcopy(network).cpu()
    copied.load_state_dict({name.removeprefix("network."): value for name, value in state.items()})
    return copied.to(memory_format=torch.channels_last)  # as the pictures come


def _val(data: PhotoDataModule, network: Classifier) -> DataLoader:
    """Validation batches for a network with a backbone of its own."""
    return data.features.by(network.backbone).loader("val") if data.features else data.val_dataloader()
