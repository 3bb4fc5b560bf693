"""The story, in order: data and weights found, network built, fitted, converted and scored, recorded."""

import errno
import logging
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, ProgressBar, Timer
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from hymtl import checkpoints, fingerprint, folder, loggers, precision, processes, recording, rehearsal, settings
from hymtl.backbones import pretrained
from hymtl.backbones.pretrained import Pretrained
from hymtl.callbacks.best_checkpoint import BestCheckpoint, mode
from hymtl.callbacks.best_validation import BestValidation
from hymtl.callbacks.convert_best import ConvertBest
from hymtl.callbacks.curves import Curves
from hymtl.callbacks.deadline import Deadline
from hymtl.callbacks.early_stopping import EarlyStopping
from hymtl.callbacks.history import History
from hymtl.callbacks.last_checkpoint import LastCheckpoint
from hymtl.callbacks.progress import progress, sweep_job
from hymtl.callbacks.random_state import RandomState
from hymtl.checkpoints import WholeCheckpoints
from hymtl.data import check, sources
from hymtl.data.balance import class_weights
from hymtl.data.batches import PictureBatches
from hymtl.data.datamodule import PhotoDataModule
from hymtl.data.photos import PhotoFolder
from hymtl.data.splits import arrange, set_aside, thinned
from hymtl.deploy import held_out
from hymtl.deploy.held_out import HeldOut
from hymtl.errors import HymtlError, in_one_line
from hymtl.features import probe
from hymtl.features.store import FeatureStore
from hymtl.files import WriteError, home
from hymtl.module import TransferModule
from hymtl.records import result
from hymtl.rehearsal import SPLIT
from hymtl.runtime import keep_big_blocks, not_collecting
from hymtl.strategy import Strategy

# Settings of data that are no business of the loaders.
NOT_LOADED = ("source", "root", "features_gb", "on_bad", "leaks", "resize", "resize_at_224", "mixing", *SPLIT)

# Of the winner of a race, whose scores are those of folds; checkpoints then come as an epoch's training ends.
NO_VALIDATION = {"limit_val_batches": 0, "check_val_every_n_epoch": 1, "val_check_interval": 1.0}

# Of a strategy whose epochs are all alike, as nothing trains in them.
ONE_EPOCH = {"max_epochs": 1, "min_epochs": None, "check_val_every_n_epoch": 1}

# What a system that refuses to write says: a full disk or quota, a limit, a folder that is read-only or another's.
REFUSALS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
    *(errno.ENOENT, errno.ENOTDIR, errno.ESTALE),  # the folder was taken away meanwhile
    *(errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG),  # something else is in a file's place
)

log = logging.getLogger(__name__)


@dataclass
class Experiment:
    """What was found and built: nothing in it has trained yet, or all of it has."""

    module: TransferModule
    datamodule: PhotoDataModule
    trainer: pl.Trainer
    history: History
    folds: HeldOut | None = None  # which validate, where no photo is held out from training


def run(cfg: DictConfig) -> result.Result | None:
    """Run the experiment that ``cfg`` (``conf/config.yaml``) describes and return its result record.

    Several processes (``trainer.devices=2``) are started here, see :mod:`hymtl.processes`: in these themselves the
    first returns the record, the others None.

    Everything goes to ``cfg.run_dir``: checkpoints, TensorBoard events, the artifact and ``result.json``.

    Raises:
        HymtlError: if a setting, the data or the weights are not what they should be.
    """
    if processes.wanted(cfg):
        return processes.run(cfg)
    run_dir = Path(cfg.run_dir)
    if (run_dir / result.FILE).exists():
        log.warning("!!! %s holds a result already, which this run will replace", run_dir)
    try:
        folder.check(run_dir)
        built = prepare(cfg)
        with checkpoints.explained(cfg.ckpt_path):  # before anything of an earlier run is removed
            goes_on = folder.goes_on(run_dir, cfg.ckpt_path)
            checkpoints.check(cfg.ckpt_path, built.module.hparams, goes_on=goes_on)
        if built.trainer.is_global_zero and not built.trainer.fast_dev_run:
            folder.begin(run_dir, cfg.ckpt_path)
        with checkpoints.explained(cfg.ckpt_path):
            fit(built, cfg.ckpt_path)
            if built.trainer.fast_dev_run:
                log.info("fast_dev_run: training and validation work. Nothing was kept, scored or converted.")
                return None
            return record(built, cfg)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        raise WriteError(error.filename or run_dir, error) from error
    finally:
        loggers.end(cfg.get("logger"))


def prepare(cfg: DictConfig) -> Experiment:
    """Everything found, built and announced; nothing trained yet."""
    settings.check(cfg)
    strategy = rehearsal.checked(cfg)
    keep_big_blocks()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    photos, weights = find(cfg)
    folds = _held_out(cfg)
    photos = folds.arranged(photos) if folds else photos
    _announce(photos, weights)
    if cfg.backbone.name == "auto":  # others were checked with it before
        strategy.check(weights)
    return build(cfg, strategy, photos, weights, folds)


def find(cfg: DictConfig) -> tuple[PhotoFolder, Pretrained]:
    """The pictures, split, and the weights to start from."""
    with not_collecting():  # of many pictures, all of which stay
        photos = find_photos(cfg)
    return photos, pretrained.find(rehearsal.backbone(cfg), cfg.backbone.weights)


def find_photos(cfg: DictConfig) -> PhotoFolder:
    """The pictures, checked and split."""
    split = {key: cfg.data[key] for key in SPLIT}
    photos = sources.find_photos(cfg.data.source, cfg.data.root)
    findings = check.examine(photos, progress=cfg.trainer.get("enable_progress_bar", True))
    photos = check.without_bad(photos, findings, cfg.data.on_bad)
    racing = cfg.get("choose")
    if racing and "test" in photos.splits:
        split["test_fraction"] = 0.0  # its own part is the test
    photos = check.without_leaks(arrange(photos, **split), findings, cfg.data.leaks)
    photos = thinned(photos, cfg.data.train_fraction, cfg.data.split_seed)  # last: all fractions validate alike
    return set_aside(photos) if racing and racing.held_out is None else photos


def _held_out(cfg: DictConfig) -> HeldOut | None:
    """What folds say of all photos, where none is held out from training any more."""
    racing = cfg.get("choose")
    return held_out.read([Path(folder) for folder in racing.held_out]) if racing and racing.held_out else None


def build(
    cfg: DictConfig, strategy: Strategy, photos: PhotoFolder, weights: Pretrained, folds: HeldOut | None = None
) -> Experiment:
    """Batches, network, module and trainer; with ``folds`` these validate, and nothing does as it trains."""
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
        mixing=cfg.data.get("mixing"),
        seed=cfg.seed,
        network=network,
        pretrained=weights,
    )
    history = History()
    return Experiment(module, PhotoDataModule(pictures), _trainer(cfg, module, history, folds), history, folds)


def fit(built: Experiment, ckpt_path: str | None = None) -> None:
    """Fitted by Lightning and, as fitting ends, converted and scored: ``built.module.deployed`` has what came out."""
    try:
        built.trainer.fit(built.module, built.datamodule, ckpt_path=ckpt_path)
    except (ModuleNotFoundError, MisconfigurationException) as error:  # a callback lacks a package, or a logger
        raise HymtlError(f"{in_one_line(error)} See conf/callbacks/ and conf/trainer/.") from error
    except (AttributeError, RuntimeError, ValueError) as error:
        if "pytorch_lightning" not in Path(traceback.extract_tb(error.__traceback__)[-1].filename).parts:
            raise
        # What Lightning itself refuses so late: a monitor that nobody logs, more batches than there are.
        raise HymtlError(f"{in_one_line(error)} See conf/callbacks/ and conf/trainer/.") from error


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
        probe=None if built.folds else _probe(built, cfg.data.features_gb),
    )


def _probe(built: Experiment, features_gb: float) -> result.Probe | None:
    """What a run that trained a pretrained backbone is to be above; None for others."""
    module, start, pictures = built.module, built.module.pretrained, built.datamodule.pictures
    trains = any(parameter.requires_grad for parameter in module.network.backbone.parameters())
    if not trains or not module.deployed or start is None or start.file is None:
        return None
    store = FeatureStore(home() / "features", features_gb * 1e9)
    device = built.trainer.strategy.root_device
    try:
        return probe.of_start(start, pictures, device, store, module.loss_weights)
    except (HymtlError, OSError, ValueError, RuntimeError) as error:  # the run is made, and worth more than this
        log.warning("what a probe on the features of the start scores could not be found out: %s", in_one_line(error))
        return None


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
    counted = Counter(photo.label for photo in photos.splits["train"])
    log.info("classes   %s", ", ".join(f"{name} ({counted[label]})" for label, name in enumerate(photos.classes)))
    digest = f", sha256 {weights.digest:.12s}" if weights.digest else ""  # random ones have none
    log.info("backbone  %s, weights %s%s", weights.backbone.name, weights.weights, digest)


def _trainer(cfg: DictConfig, module: TransferModule, history: History, folds: HeldOut | None) -> pl.Trainer:
    strategy = module.strategy
    accelerator = "cpu" if strategy.cpu_only else cfg.trainer.get("accelerator", "auto")
    asked = cfg.trainer.get("precision", precision.FULL)
    rounding = precision.chosen(asked, accelerator, module.network, cpu_only=strategy.cpu_only)
    if rounding != asked:
        log.info("precision %s, by trainer.precision=auto", rounding)
    if cfg.epochs > 1 and not strategy.trains:
        log.info("epochs    1 in place of %d: nothing trains under strategy=%s", cfg.epochs, strategy.name)
    # Without these there is no result, so no override takes them out. BestCheckpoint comes first of all checkpoints,
    # so that Lightning's ckpt_path="best" means it; those of the config see what ConvertBest made.
    checkpoints = f"{cfg.run_dir}/checkpoints"
    validation = BestValidation()
    needed = [
        LastCheckpoint(checkpoints, folds.best) if folds else BestCheckpoint(checkpoints, cfg.monitor),
        RandomState(),
        history,
        Curves(),
        validation,
        ConvertBest(f"{cfg.run_dir}/artifact", cfg.calibration, folds, validation),
    ]
    if (racing := cfg.get("choose")) and racing.deadline:
        needed.append(Deadline(racing.deadline))
    if cfg.early_stopping and not folds:
        needed.append(EarlyStopping(cfg.monitor, patience=cfg.early_stopping, mode=mode(cfg.monitor)))
    chosen = [
        loggers.instantiated(callback, "callbacks") for callback in (cfg.get("callbacks") or {}).values() if callback
    ]
    for callback in chosen:
        if not isinstance(callback, Callback):
            raise HymtlError(
                f"callbacks: {type(callback).__name__} is no callback of Lightning's. See conf/callbacks/."
            )
    if limit := cfg.trainer.get("max_time"):  # which Lightning ignores where there is a timer already
        limit = limit if isinstance(limit, str) else OmegaConf.to_container(limit)
        chosen = [Timer(limit) if isinstance(callback, Timer) else callback for callback in chosen]
    if not any(isinstance(callback, ProgressBar) for callback in chosen):
        chosen.append(progress(bar=cfg.trainer.get("enable_progress_bar", True), job=sweep_job()))
    bar = any(isinstance(callback, ProgressBar) for callback in chosen)  # or Lightning would add its own
    told = loggers.of(cfg.get("logger"))
    of_processes = processes.trainer_arguments(phased=strategy.phased)
    try:
        return instantiate(
            cfg.trainer,
            accelerator=accelerator,
            precision=rounding,
            logger=told,
            callbacks=needed + chosen,
            enable_progress_bar=bar,
            use_distributed_sampler=False,  # which would count photos twice, see PhotoDataModule
            **(({} if strategy.trains else ONE_EPOCH) | (NO_VALIDATION if folds else {})),
            plugins=[WholeCheckpoints(), *of_processes.pop("plugins", [])],
            **of_processes,
        )
    except InstantiationException as error:
        raise HymtlError(f"trainer: {in_one_line(error)} See conf/trainer/.") from error
