"""The story, in order: data and weights found, network built, fitted, converted and scored, recorded."""

import logging
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.utilities.exceptions import SIGTERMException

from hymtl import fingerprint, recording, settings, strategies
from hymtl.backbones import pretrained
from hymtl.backbones.pretrained import Pretrained
from hymtl.callbacks.best_checkpoint import BestCheckpoint, mode
from hymtl.callbacks.convert_best import ConvertBest
from hymtl.callbacks.history import History
from hymtl.callbacks.random_state import RandomState
from hymtl.data import check
from hymtl.data.balance import class_weights
from hymtl.data.batches import PictureBatches
from hymtl.data.datamodule import PhotoDataModule
from hymtl.data.photos import PhotoFolder
from hymtl.data.sources import find_photos
from hymtl.data.splits import arrange
from hymtl.errors import HymtlError
from hymtl.module import TransferModule
from hymtl.records import result
from hymtl.runtime import keep_big_blocks
from hymtl.strategy import Strategy

# The settings of data that say who trains, validates and tests.
SPLIT = ("folds", "fold", "val_fraction", "test_fraction", "split_seed", "group")
# Settings of data that are no business of the loaders.
NOT_LOADED = ("source", "root", "features_gb", "on_bad", "leaks", "resize", "resize_at_224", *SPLIT)

log = logging.getLogger(__name__)


@dataclass
class Experiment:
    """What was found and built: nothing in it has trained yet, or all of it has."""

    module: TransferModule
    datamodule: PhotoDataModule
    trainer: pl.Trainer
    history: History


def run(cfg: DictConfig) -> result.Result | None:
    """Run the experiment that ``cfg`` (``conf/config.yaml``) describes and return its result record.

    Of several processes (``trainer.devices=2``) the first returns the record, the others None.

    Everything goes to ``cfg.run_dir``: checkpoints, TensorBoard events, the artifact and ``result.json``.

    Raises:
        HymtlError: if a setting, the data or the weights are not what they should be.
    """
    if (Path(cfg.run_dir) / result.FILE).exists():
        log.warning("!!! %s holds a result already, which this run will replace", cfg.run_dir)
    built = prepare(cfg)
    fit(built, cfg.ckpt_path)
    return record(built, cfg)


def prepare(cfg: DictConfig) -> Experiment:
    """Everything found, built and announced; nothing trained yet."""
    settings.check(cfg)
    settings.check_optimizer(cfg)
    keep_big_blocks()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    strategy = strategies.create(**cfg.strategy)
    _check_accelerator(cfg, strategy)
    photos, weights = find(cfg)
    _announce(photos, weights)
    strategy.check(weights)
    return build(cfg, strategy, photos, weights)


def find(cfg: DictConfig) -> tuple[PhotoFolder, Pretrained]:
    """The pictures, split, and the weights to start from."""
    split = {key: cfg.data[key] for key in SPLIT}
    photos = find_photos(cfg.data.source, cfg.data.root)
    findings = check.examine(photos, progress=cfg.trainer.get("enable_progress_bar", True))
    photos = arrange(check.without_bad(photos, findings, cfg.data.on_bad), **split)
    photos = check.without_leaks(photos, findings, cfg.data.leaks)
    model = cfg.backbone.get("model")  # of a family that has too many to list
    return photos, pretrained.find("/".join(filter(None, (cfg.backbone.name, model))), cfg.backbone.weights)


def build(cfg: DictConfig, strategy: Strategy, photos: PhotoFolder, weights: Pretrained) -> Experiment:
    """Batches, network, module and trainer."""
    loading = {key: value for key, value in cfg.data.items() if key not in NOT_LOADED}
    expected = weights.backbone.preprocessing
    resize = settings.resize(cfg, expected.size)
    pictures = PictureBatches(photos, expected, resize=resize, views=strategy.views, seed=cfg.seed, **loading)
    network = strategy.transfer(weights, len(photos.classes), pictures.calibration_batches())
    network.to(memory_format=torch.channels_last)  # as the pictures come, see transforms.normalize
    module = TransferModule(
        weights.backbone.name,
        strategy,
        photos.classes,
        cast(dict, OmegaConf.to_container(cfg.optim, resolve=True)),
        cast(dict, OmegaConf.to_container(cfg.scheduler, resolve=True)) if cfg.get("scheduler") else None,
        resize=resize,
        sources={"dataset": photos.record, "backbone": weights.record},
        class_weights=class_weights(photos.splits["train"], len(photos.classes)) if cfg.loss.class_weights else None,
        network=network,
        pretrained=weights,
    )
    history = History()
    return Experiment(module, PhotoDataModule(pictures), _trainer(cfg, strategy, history), history)


def fit(built: Experiment, ckpt_path: str | None = None) -> None:
    """Fitted by Lightning and, as fitting ends, converted and scored: ``built.module.deployed`` has what came out."""
    try:
        built.trainer.fit(built.module, built.datamodule, ckpt_path=ckpt_path)
    except SIGTERMException as stop:  # Lightning's SystemExit, which would tell whoever waits that all went well
        stop.code = 128 + signal.SIGTERM
        raise


def record(built: Experiment, cfg: DictConfig) -> result.Result | None:
    """The record, written; None in other processes than the first."""
    if not built.trainer.is_global_zero:
        return None
    return recording.record(
        built.module,
        built.trainer,
        built.history.columns(),
        Path(cfg.run_dir),
        seed=cfg.seed,
        config_hash=fingerprint.digest(fingerprint.settings(cfg)),
    )


def _check_accelerator(cfg: DictConfig, strategy: Strategy) -> None:
    accelerator = cfg.trainer.get("accelerator", "auto")
    if strategy.cpu_only and accelerator not in ("auto", "cpu"):
        raise HymtlError(
            f"trainer.accelerator={accelerator}: int8 networks run on the CPU only, and strategy="
            f"{strategy.name} trains on one. Use trainer.accelerator=cpu, or strategy=qat, which trains on a GPU."
        )
    settings.check_accelerator(cfg)
    if accelerator in ("gpu", "cuda") and not torch.cuda.is_available() and not torch.backends.mps.is_available():
        raise HymtlError(
            f"trainer.accelerator={accelerator}: torch {torch.__version__} finds no GPU that it can use. "
            "Use trainer.accelerator=cpu, or auto."
        )


def _announce(photos: PhotoFolder, weights: Pretrained) -> None:
    """The first lines of the log: what is really used, and loudly if it is not what was asked for first."""
    for source in (photos, weights):
        if source.fallback:
            log.warning("!!! %s", source.fallback)
    counts = ", ".join(f"{len(split)} {name}" for name, split in photos.splits.items())
    log.info("dataset   %s (%s; %s) sha256 %.12s", photos.name, photos.root, counts, photos.digest)
    if photos.left_out:
        log.warning("left out  %s", check.left_out(photos))
    if photos.arrangement:
        log.info("split     %s", result.Split(**photos.arrangement).words)
    log.info("classes   %s", ", ".join(photos.classes))
    log.info("backbone  %s, weights %s, sha256 %.12s", weights.backbone.name, weights.weights, weights.digest)


def _trainer(cfg: DictConfig, strategy: Strategy, history: History) -> pl.Trainer:
    accelerator = "cpu" if strategy.cpu_only else cfg.trainer.accelerator
    # Without these there is no result, so no override takes them out. BestCheckpoint comes first of all checkpoints,
    # so that Lightning's ckpt_path="best" means it; those of the config see what ConvertBest made.
    needed = [
        BestCheckpoint(f"{cfg.run_dir}/checkpoints", cfg.monitor),
        RandomState(),
        history,
        ConvertBest(f"{cfg.run_dir}/artifact", cfg.calibration),
    ]
    if cfg.early_stopping:
        needed.append(EarlyStopping(cfg.monitor, patience=cfg.early_stopping, mode=mode(cfg.monitor)))
    chosen = [instantiate(callback) for callback in (cfg.get("callbacks") or {}).values()]
    return instantiate(cfg.trainer, accelerator=accelerator, logger=instantiate(cfg.logger), callbacks=needed + chosen)
