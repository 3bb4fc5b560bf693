"""The story, in order: data and weights found, network built, fitted, converted, scored, recorded."""

import logging
import signal
from pathlib import Path

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.exceptions import SIGTERMException

from hymtl import backbones, fingerprint, results, settings, strategies
from hymtl.backbones import Pretrained
from hymtl.data import PhotoDataModule, PhotoFolder, arrange, find_photos
from hymtl.errors import HymtlError
from hymtl.memory import GiveBack, keep_big_blocks
from hymtl.module import TransferModule
from hymtl.strategies import Strategy

SPLIT = ("folds", "fold", "test_fraction")  # the settings of data that say who trains, validates and tests
NOT_LOADED = ("source", "root", "features_gb", *SPLIT)  # settings of data that are no business of the loaders

log = logging.getLogger(__name__)


def run(cfg: DictConfig) -> dict | None:
    """Run the experiment that ``cfg`` (``conf/config.yaml``) describes and return its result record.

    Of several processes (``trainer.devices=2``) the first returns the record, the others None.

    Everything goes to ``cfg.run_dir``: checkpoints, TensorBoard events, the artifact and ``result.json``.

    Raises:
        HymtlError: if a setting, the data or the weights are not what they should be.
    """
    if (Path(cfg.run_dir) / results.FILE).exists():
        log.warning("!!! %s holds a result already, which this run will replace", cfg.run_dir)
    module, trainer = fit(cfg)
    if not trainer.is_global_zero:
        return None
    result = results.collect(module, trainer, seed=cfg.seed, config_hash=fingerprint.digest(fingerprint.settings(cfg)))
    results.write(result, Path(cfg.run_dir), trainer)
    return result


def fit(cfg: DictConfig) -> tuple[TransferModule, pl.Trainer]:
    """The experiment without its record: the module as it was when fitting ended, and its trainer."""
    module, datamodule, trainer = prepare(cfg)
    try:
        trainer.fit(module, datamodule, ckpt_path=cfg.ckpt_path)
    except SIGTERMException as stop:  # Lightning's SystemExit, which would tell whoever waits that all went well
        stop.code = 128 + signal.SIGTERM
        raise
    return module, trainer


def prepare(cfg: DictConfig) -> tuple[TransferModule, PhotoDataModule, pl.Trainer]:
    """Everything found, built and announced; nothing trained yet."""
    settings.check(cfg)
    keep_big_blocks()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    strategy = strategies.create(**cfg.strategy)
    split = {key: cfg.data[key] for key in SPLIT}
    photos = arrange(find_photos(cfg.data.source, cfg.data.root), **split)
    pretrained = backbones.find(cfg.backbone.name, cfg.backbone.weights)
    _announce(photos, pretrained)
    if strategy.quantizes and not pretrained.backbone.quantizable:
        raise HymtlError(
            f"backbone={pretrained.backbone.name} cannot be quantized. Use strategy=scratch, or another backbone."
        )

    datamodule = _datamodule(cfg, strategy, photos, pretrained)
    network = strategy.transfer(pretrained, len(photos.classes), datamodule.calibration_batches())
    network.to(memory_format=torch.channels_last)  # as the pictures come, see transforms.normalize
    module = TransferModule(
        pretrained.backbone.name,
        strategy.spec(),
        photos.classes,
        OmegaConf.to_container(cfg.optim, resolve=True),
        OmegaConf.to_container(cfg.scheduler, resolve=True),
        resize=cfg.data.resize,
        sources={"dataset": photos.record, "backbone": pretrained.record},
        network=network,
        pretrained=pretrained,
    )
    return module, datamodule, _trainer(cfg, strategy)


def _announce(photos: PhotoFolder, pretrained: Pretrained) -> None:
    """The first lines of the log: what is really used, and loudly if it is not what was asked for first."""
    for source in (photos, pretrained):
        if source.fallback:
            log.warning("!!! %s", source.fallback)
    counts = ", ".join(f"{len(split)} {name}" for name, split in photos.splits.items())
    log.info("dataset   %s (%s; %s) sha256 %.12s", photos.name, photos.root, counts, photos.digest)
    if split := photos.arrangement:
        fold = f"fold {split['fold']} of {split['folds']}" if split["folds"] else "the folder's own"
        log.info("split     %s, test fraction %g", fold, split["test_fraction"])
    log.info("classes   %s", ", ".join(photos.classes))
    log.info("backbone  %s, weights %s, sha256 %.12s", pretrained.backbone.name, pretrained.weights, pretrained.digest)


def _datamodule(cfg: DictConfig, strategy: Strategy, photos: PhotoFolder, pretrained: Pretrained) -> PhotoDataModule:
    loader = {key: value for key, value in cfg.data.items() if key not in NOT_LOADED}
    return PhotoDataModule(photos, pretrained.backbone.preprocessing, views=strategy.views, seed=cfg.seed, **loader)


def _trainer(cfg: DictConfig, strategy: Strategy) -> pl.Trainer:
    accelerator = cfg.trainer.accelerator
    if strategy.cpu_only:
        if accelerator not in ("auto", "cpu"):
            raise HymtlError(
                f"trainer.accelerator={accelerator}: int8 networks run on the CPU only, and strategy="
                f"{strategy.name} trains on one. Use trainer.accelerator=cpu, or strategy=qat, which trains on a GPU."
            )
        accelerator = "cpu"
    return instantiate(
        cfg.trainer,
        accelerator=accelerator,
        logger=instantiate(cfg.logger),
        callbacks=[GiveBack(), *(instantiate(callback) for callback in cfg.callbacks.values())],
    )
