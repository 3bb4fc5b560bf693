"""Train on kept features, where the backbone stays as it is."""

import logging

import pytorch_lightning as pl

from hymtl.features.batches import FeatureBatches
from hymtl.features.store import FeatureStore
from hymtl.files import home
from hymtl.network import Classifier

log = logging.getLogger(__name__)


class FixedFeatures(pl.Callback):
    """While it fits, a fixed backbone, or its fixed part, sees each view of a photo once; batches are what it gave.

    Photos, augmentation, order and dropout are those of training on pictures, so the losses are too, up to float
    rounding; in int8 to the bit. ``disk_gb`` gigabytes of features are kept in ``$HYMTL_HOME/features`` for
    other runs; 0 keeps none. Without this callback, or where there is an obstacle (the log names it), pictures go
    through the backbone at every step.
    """

    def __init__(self, disk_gb: float = 1.0) -> None:
        self.store = FeatureStore(home() / "features", disk_gb * 1e9)
        self._features: FeatureBatches | None = None  # while it fits on them

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        backbone = pl_module.strategy.fixed_backbone(pl_module.network)
        if backbone is None:
            return
        obstacle = self._obstacle(trainer, pl_module)
        if obstacle is None:  # only now, as it reads all weights for their digest
            features = FeatureBatches(
                backbone,
                trainer.datamodule.pictures,
                pl_module.device,
                self.store,
                bf16=trainer.precision == "bf16-mixed",
            )
            obstacle = self._no_room(features, pl_module.network)
        if obstacle is not None:
            log.info("features  computed at every step: %s", obstacle)
            return
        trainer.datamodule.batches = self._features = features

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        # Not in on_fit_end, where other callbacks still score the network.
        if stage == "fit" and self._features:
            counts, folder = self._features.counts, self.store.folder
            log.info("features  %d views computed, %d found in %s", counts["computed"], counts["found"], folder)
            self._back_to_pictures(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if self._features:
            self._back_to_pictures(trainer)

    def _back_to_pictures(self, trainer: pl.Trainer) -> None:
        trainer.datamodule.batches = trainer.datamodule.pictures
        self._features = None

    def _obstacle(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> str | None:
        if trainer.world_size > 1:
            return "several processes each have their own share of the photos"
        if trainer.precision not in ("32-true", "bf16-mixed"):
            return f"trainer.precision={trainer.precision}"
        if trainer.datamodule.pictures.balance:
            return "data.balance draws some photos several times an epoch, each time augmented anew"
        if pl_module.hparams.get("mixing"):
            return "data.mixing mixes pictures"
        limited = trainer.limit_train_batches != 1.0 or trainer.limit_val_batches not in (1.0, 0)  # 0: none validates
        if trainer.fast_dev_run or trainer.overfit_batches or limited:
            return "only some batches are asked for"
        return None

    def _no_room(self, features: FeatureBatches, network: Classifier) -> str | None:
        if network.border is None:  # a few kilobytes a photo
            return None
        needed, limit = features.gigabytes(), features.data.cache_gb
        return f"a view takes {needed:.2g} GB of memory, more than data.cache_gb={limit}" if needed > limit else None
