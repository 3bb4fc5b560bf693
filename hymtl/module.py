"""The LightningModule: steps, metrics, optimizer. It knows no strategy by name."""

import math
from collections.abc import Mapping
from typing import cast

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from hymtl import backbones, metrics, strategies
from hymtl.backbones.pretrained import Pretrained
from hymtl.deploy.convert import Deployed
from hymtl.errors import HymtlError, in_one_line
from hymtl.features import probe
from hymtl.mixing import mix
from hymtl.network import Activations, Classifier
from hymtl.strategy import Strategy

STAGES = ("train", "val", "test")
Batch = tuple[Tensor | Activations, Tensor]  # and labels


class TransferModule(pl.LightningModule):
    """Trains ``network``, or, without one, the architecture that ``backbone`` and ``strategy`` describe.

    The second is what ``load_from_checkpoint`` needs: every argument but the last two stands in the checkpoint, in
    plain types, which therefore loads under torch's default ``weights_only=True``.

    Args:
        backbone: a name of ``hymtl.backbones``.
        strategy: the run's, or, from a checkpoint, ``{"name": ..., option: value}``, as ``Strategy.spec()`` gives.
        classes: class names, in the order of the labels.
        optim: an optimizer for ``hydra.utils.instantiate``: ``{"_target_": ..., "_partial_": True, ...}``.
        scheduler: the same for a learning-rate scheduler, stepped once an epoch, or, with ``interval: step``, after
            each batch, when it gets ``total_steps`` too; None for a constant rate.
        resize: pixels of a picture's shorter side before the centre crop, for whoever predicts with it.
        sources: records of the dataset and the pretrained weights, carried along for whoever finds the file.
        mixing: ``"mixup"`` or ``"cutmix"``, see :mod:`hymtl.mixing`; None: training pictures stay as they are.
        seed: of what mixing draws.
        class_weights: what the training loss of each class is multiplied by; None: all count as they come.
        pretrained: the weights that ``network`` began with, to compare with when it is finished.

    Logged each epoch (the x axis of TensorBoard is the epoch, so that runs of different batch size compare):
    ``train/loss``, ``train/acc``, ``val/loss``, ``val/acc``, means over samples, ``val/balanced_acc`` and
    ``val/macro_f1``, means over classes, and ``lr``.
    """

    def __init__(
        self,
        backbone: str,
        strategy: Strategy | Mapping,
        classes: list[str],
        optim: Mapping,
        scheduler: Mapping | None = None,
        resize: int = 256,
        sources: Mapping | None = None,
        class_weights: list[float] | None = None,
        mixing: str | None = None,
        seed: int = 0,
        network: Classifier | None = None,
        pretrained: Pretrained | None = None,
    ) -> None:
        super().__init__()
        self.pretrained = pretrained
        self.strategy = strategy if isinstance(strategy, Strategy) else strategies.create(**strategy)
        strategy = self.strategy.spec()  # plain types, as the next line saves it
        self.save_hyperparameters(ignore=["network", "pretrained"], logger=False)
        self.deployed: Deployed | None = None  # what came of it, once it was fitted with ConvertBest
        self.validated = -1  # the last epoch that validation was due in
        self.network: Classifier = network or self.strategy.build(backbones.get(backbone), len(classes))
        self.accuracy = nn.ModuleDict(
            # "train" is a method of modules, so the key says more than that.
            {f"{stage}_acc": MulticlassAccuracy(len(classes), average="micro") for stage in STAGES}
        )
        # Lightning's own mean over processes divides by a whole number of photos, rounded: of 11, half is 5.
        # Instead of a loss that is no number, such a one: it is to be seen. ("disable" would leave out the weights.)
        self.loss = nn.ModuleDict({f"{stage}_loss": MeanMetric(nan_strategy=math.nan) for stage in STAGES})
        self.confusion = MulticlassConfusionMatrix(len(classes))
        weights = None if class_weights is None else torch.tensor(class_weights)
        self.register_buffer("loss_weights", weights, persistent=False)

    def forward(self, batch: Tensor | Activations) -> Tensor:
        """Normalized pictures (N, 3, H, W), or their activations, to logits (N, classes)."""
        return self.network(batch)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        with self.strategy.training(self.network):
            if self.hparams.mixing:
                return self._mixed_step(batch, index)
            return self._step(batch, "train", index, self.loss_weights)

    def validation_step(self, batch: Batch, index: int) -> Tensor:
        return self._step(batch, "val", index)

    def test_step(self, batch: Batch, index: int) -> Tensor:
        return self._step(batch, "test", index)

    def predict_step(self, batch: Batch, index: int) -> Tensor:
        """Class probabilities (N, classes)."""
        return self(batch[0]).softmax(dim=1)

    def _step(self, batch: Batch, stage: str, index: int, weights: Tensor | None = None) -> Tensor:
        inputs, labels = batch
        logits = self(inputs)
        return self._logged(logits, labels, _loss(logits, labels, weights), stage, index)

    def _mixed_step(self, batch: Batch, index: int) -> Tensor:
        """Accuracy is that of the class which each mixed picture has most of."""
        pictures, labels = batch
        assert isinstance(pictures, Tensor)  # kept features are not trained on then
        mixed, others, share = mix(pictures, self.hparams.mixing, self.hparams.seed, self.current_epoch, index)
        logits = self(mixed)
        own, other = (_loss(logits, target, self.loss_weights) for target in (labels, labels[others]))
        return self._logged(logits, labels, share * own + (1 - share) * other, "train", index)

    def _logged(self, logits: Tensor, labels: Tensor, loss: Tensor, stage: str, index: int) -> Tensor:
        if not loss.isfinite():
            raise HymtlError(self._diverged(loss.item(), stage, index))
        accuracy = self.accuracy[f"{stage}_acc"]
        accuracy(logits, labels)
        if stage == "val":
            self.confusion.update(logits, labels)
        # Weighted by batch size: the last batch is smaller, and a mean is a mean over photos.
        mean_loss = cast(MeanMetric, self.loss[f"{stage}_loss"])
        mean_loss.update(loss.detach(), len(labels))
        shown = {"on_step": False, "on_epoch": True, "prog_bar": stage != "test", "batch_size": len(labels)}
        self.log(f"{stage}/loss", mean_loss, **shown)
        self.log(f"{stage}/acc", accuracy, **shown)
        return loss

    def _diverged(self, loss: float, stage: str, index: int) -> str:
        """Where training went wrong, what is left of it, and what to try."""
        rates = {f"{group['lr']:g}" for optimizer in self.trainer.optimizers for group in optimizer.param_groups}
        best = getattr(self.trainer.checkpoint_callback, "best_model_path", "")
        return (
            f"The {stage} loss is {loss} in epoch {self.current_epoch}, batch {index} (learning rate "
            f"{', '.join(sorted(rates)) or 'none'}): training has diverged and is stopped. "
            + (f"The best checkpoint so far is kept: {best}. " if best else "No epoch was finished before. ")
            + "Try a lower optim.lr, or a limit on gradients (trainer.gradient_clip_val=1.0)."
        )

    def setup(self, stage: str) -> None:
        if self.trainer.world_size > 1:
            self.strategy.share(self.network)

    def on_train_start(self) -> None:
        if self.strategy.solves_head and self.trainer.global_step == 0:  # what is resumed has its head
            data = self.trainer.datamodule
            batches = map(self.trainer.strategy.batch_to_device, data.batches.unaugmented().loader("train"))
            probe.solve_head(self.network, batches, data.pictures, self.loss_weights)

    def on_train_epoch_start(self) -> None:
        self.strategy.start_epoch(self.network, self.current_epoch)
        for name, moves in self.strategy.moving(self.current_epoch).items():
            self.log(name, float(moves), on_step=False, on_epoch=True, sync_dist=True)
        # Now, as at the epoch's end the scheduler has already set the next one's.
        first, *others = self.optimizers().param_groups
        self.log("lr", first["lr"], on_step=False, on_epoch=True, sync_dist=True)
        for group in others:
            if "name" in group:  # one without has the first's rate
                self.log(f"lr/{group['name']}", group["lr"], on_step=False, on_epoch=True, sync_dist=True)

    def on_train_epoch_end(self) -> None:
        self._log_epoch()

    def on_validation_epoch_end(self) -> None:
        self.validated = self.current_epoch
        matrix = self.confusion.compute().cpu().numpy()
        self.confusion.reset()
        self.log("val/balanced_acc", metrics.balanced_accuracy(matrix), prog_bar=False, sync_dist=True)
        self.log("val/macro_f1", metrics.macro_f1(matrix), prog_bar=False, sync_dist=True)
        self._log_epoch()

    def _log_epoch(self) -> None:
        # Lightning takes a metric called "step" for the x axis of everything logged with it.
        self.log("step", float(self.current_epoch), sync_dist=True)

    def configure_optimizers(self) -> dict:
        groups = self.strategy.parameter_groups(self.network)
        try:
            optimizer = instantiate(self.hparams.optim)(groups)
        except (TypeError, ValueError, RuntimeError) as error:
            raise HymtlError(f"optim: {in_one_line(error)}. Take another optim._target_, see conf/optim/.") from error
        if not self.hparams.scheduler:
            return {"optimizer": optimizer}
        options = dict(self.hparams.scheduler)
        interval = options.pop("interval", "epoch")
        if interval == "epoch":
            return {"optimizer": optimizer, "lr_scheduler": instantiate(options)(optimizer)}
        scheduler = instantiate(options)(optimizer, total_steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": interval}}


def _loss(logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
    return F.cross_entropy(logits, labels) if weights is None else _weighted(logits, labels, weights)


def _weighted(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Cross entropy, each photo's times its class's weight, mean over photos.

    torch's own ``weight`` divides by the weights of the batch, so that in a batch of one class they would cancel.
    """
    return (F.cross_entropy(logits, labels, reduction="none") * weights[labels]).mean()
