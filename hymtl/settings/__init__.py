"""Checking settings before anything slow begins; what YAML cannot say about them."""

import os
import sys
import zipfile
from pathlib import Path
from typing import cast

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from hymtl.errors import HymtlError, check_choice, in_one_line
from hymtl.preprocessing import Preprocessing
from hymtl.records import choice
from hymtl.settings import rules

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps", "tpu")  # of Lightning's, those that hymtl may run on
GPU_DEVICES = ("nvidia[0-9]*", "kfd", "dxg")  # in Linux's /dev: NVIDIA's, AMD's, Windows' subsystem's
DDP = ("ddp", "ddp_spawn")
STRATEGIES = ("auto", *DDP)  # for several devices, of Lightning's
MADE_HERE = {  # what hymtl itself gives the Trainer, by what is to be given in its place
    "logger": "logger=csv",
    "callbacks": "callbacks=[default,lr_monitor]",
    "plugins": "nothing: how files are written is hymtl's own",
    "use_distributed_sampler": "nothing: a photo is scored once anyway",
}
FEW_PROCESSES = 8  # on the CPU, that any machine may try
SIZES = {"garment_cnn": 28}  # pixels that a backbone sees, where they are not the usual ones


def check(cfg: DictConfig) -> None:
    """Refuse values that would fail later or, worse, not at all; what takes no import of torch to find out.

    Raises:
        HymtlError: naming the setting and what it may be.
    """
    for name in OmegaConf.missing_keys(cfg):
        raise HymtlError(f"{name} has no value: give {name}=... on the command line.")
    rules.check(cfg)
    racing = cfg.get("choose")
    if racing:
        choice.check(cast(dict, OmegaConf.to_container(racing)))
    if not (racing and racing.held_out):
        _check_fold(cfg.data.folds, cfg.data.fold)
    _check_fractions(cfg.data)
    _check_files(cfg)
    _check_size(cfg)
    _check_devices(cfg.trainer)
    if (given := cfg.trainer.get("max_epochs")) != cfg.epochs:
        raise HymtlError(
            f"trainer.max_epochs={rules.shown(given)}: give epochs={given or cfg.epochs}, which schedulers and records "
            "go by too."
        )
    if not racing:  # where epochs may be less than asked: see rehearsal
        check_validated(cfg)
    if cfg.loss.class_weights and cfg.data.balance:
        raise HymtlError(
            "loss.class_weights=auto and data.balance=true both make rare classes count more, together twice over: "
            "choose one of them."
        )


def check_validated(cfg: DictConfig) -> None:
    """Refuse a run that no epoch of which would be validated.

    Raises:
        HymtlError: naming the setting.
    """
    if (every := cfg.trainer.get("check_val_every_n_epoch") or 1) > cfg.epochs:
        raise HymtlError(f"trainer.check_val_every_n_epoch={every}: none of {cfg.epochs} epochs would be validated.")


def excused(name: str, value: object) -> bool:
    """Whether a value that a library's annotation does not know is one that hymtl itself understands."""
    return name == "trainer.precision" or (name, value) == ("data.workers", "auto")


def _check_files(cfg: DictConfig) -> None:
    if cfg.ckpt_path and not Path(cfg.ckpt_path).is_file():
        raise HymtlError(f"ckpt_path={cfg.ckpt_path}: there is no such file. Give the last.ckpt of a run.")
    if cfg.ckpt_path and not zipfile.is_zipfile(cfg.ckpt_path):  # as torch writes them
        raise HymtlError(
            f"{cfg.ckpt_path} cannot be read as tensors: it is no checkpoint, or was cut short. Give a run's last.ckpt."
        )
    root, weights = cfg.data.get("root"), cfg.backbone.get("weights")
    if root is None and cfg.data.get("source") in ("folder", "csv"):
        raise HymtlError(f"data.root=null: data={cfg.data.source} reads nothing else. Give data.root=PATH.")
    if cfg.data.get("source") == "folder" and not Path(root).expanduser().is_dir():
        raise HymtlError(
            f"data.root={root}: there is no such folder. Give one that holds CLASS/ folders of pictures, or train/ "
            "and val/ with such folders."
        )
    if cfg.data.get("source") == "csv" and not Path(root).expanduser().is_file():
        raise HymtlError(f"data.root={root}: there is no such file. Give a table of path,label[,split][,group].")
    if weights not in (None, "imagenet") and not Path(weights).expanduser().is_file():
        raise HymtlError(
            f"backbone.weights={weights}: there is no such file. Give the path of a state dict of "
            f"{cfg.backbone.name}, or backbone.weights=imagenet, or backbone.weights=null (random)."
        )


def _check_size(cfg: DictConfig) -> None:
    if "model" in cfg.backbone:  # another library's, which knows its size
        return
    if OmegaConf.is_interpolation(cfg.data, "resize"):  # not given
        return
    size = SIZES.get(cfg.backbone.name, Preprocessing().size)
    if cfg.data.resize < size:
        raise HymtlError(
            f"data.resize={cfg.data.resize} is less than the {size} pixels that backbone={cfg.backbone.name} sees. "
            f"Give {size} or more."
        )


def devices(trainer: DictConfig) -> int | None:
    """How many of ``trainer.devices``; None for all that there are, which takes torch to count.

    Raises:
        HymtlError: if it is no number of devices.
    """
    asked = trainer.get("devices", 1)
    if asked in ("auto", -1, "-1"):
        return None
    listed = str(asked).strip("[], ").replace(" ", "").split(",")
    if OmegaConf.is_list(asked):
        count = len(asked)
    elif "," in str(asked):
        count = len(listed)
    else:
        count = int(asked) if str(asked).isdigit() and asked is not True else 0
    if len(set(listed)) < len(listed):
        raise HymtlError(f"trainer.devices={asked}: each device once.")
    if count < 1:
        raise HymtlError(f"trainer.devices={asked}: expected 'auto', a number of devices, or a list: '[0,1]'.")
    return count


def _check_devices(trainer: DictConfig) -> None:
    for name, instead in MADE_HERE.items():
        if name in trainer:
            raise HymtlError(f"trainer.{name}={rules.shown(trainer[name])} would be overwritten. Give {instead}.")
    check_choice("trainer.strategy", trainer.get("strategy", "auto"), STRATEGIES)
    if (nodes := trainer.get("num_nodes", 1)) != 1:
        raise HymtlError(
            f"trainer.num_nodes={nodes}: a run takes the devices of one machine. Several machines run the jobs of a "
            "sweep side by side: hydra/launcher=submitit_slurm or ray, see docs/scaling.md."
        )
    count = devices(trainer)
    accelerator = trainer.get("accelerator", "auto")
    if count and count > 1 and accelerator in ("mps", "tpu"):
        raise HymtlError(f"trainer.devices={count}: trainer.accelerator={accelerator} runs in one process.")
    most = max(FEW_PROCESSES, os.cpu_count() or 1)
    if count and count > most and accelerator == "cpu":
        raise HymtlError(
            f"trainer.devices={count}: on the CPU each is a process, and this machine has {os.cpu_count()} cores. "
            f"Give {most} or fewer."
        )
    if trainer.get("sync_batchnorm") and accelerator == "cpu":
        raise HymtlError(
            "trainer.sync_batchnorm=true: torch synchronizes batch norms on GPUs only. On the CPU leave it out, or "
            "give strategy.batch_norm=eval, which keeps their statistics as pretrained."
        )


def check_accelerator(cfg: DictConfig) -> None:
    """Refuse an accelerator that is none, or that this machine has not.

    Raises:
        HymtlError: naming the setting and the remedy.
    """
    accelerator = cfg.trainer.get("accelerator", "auto")
    check_choice("trainer.accelerator", accelerator, ACCELERATORS)
    wanted = accelerator in ("gpu", "cuda") and sys.platform.startswith("linux")
    if wanted and not any(any(Path("/dev").glob(pattern)) for pattern in GPU_DEVICES):
        raise HymtlError(
            f"trainer.accelerator={accelerator}: this machine shows no GPU. Use trainer.accelerator=cpu, or auto, "
            "which takes a GPU where there is one."
        )


def resize(cfg: DictConfig, size: int) -> int:
    """Pixels of a picture's shorter side, for a network that sees ``size``: as given, else in proportion."""
    given = not OmegaConf.is_interpolation(cfg.data, "resize")
    return cfg.data.resize if given else round(cfg.data.resize_at_224 * size / 224)


def _check_fold(folds: int | None, fold: int | None) -> None:
    if folds is None and fold is not None:
        raise HymtlError(f"data.fold={fold} is one of how many? Give data.folds=5, or leave data.fold out.")
    if folds is not None and (fold is None or fold >= folds):
        every = ",".join(map(str, range(folds)))
        raise HymtlError(
            f"data.folds={folds} with data.fold={'null' if fold is None else fold}: give data.fold=0 to {folds - 1}, "
            f"or sweep them all: -m data.fold={every}"
        )


def _check_fractions(data: DictConfig) -> None:
    if data.folds is not None and data.val_fraction is not None:
        raise HymtlError(f"data.folds={data.folds} validates one fold: leave data.val_fraction out.")
    if (data.val_fraction or 0) + data.test_fraction >= 1:
        raise HymtlError(
            f"data.val_fraction={data.val_fraction} and data.test_fraction={data.test_fraction} leave nothing to "
            "train on."
        )


def check_optimizer(cfg: DictConfig) -> None:
    """Take a step with optimizer and scheduler on a lone parameter: what only torch knows to be wrong, it says then.

    Raises:
        HymtlError: with what torch says.
    """
    from torch import nn, zeros

    parameter = nn.Parameter(zeros(1))
    parameter.grad = zeros(1)
    try:
        optimizer = instantiate(cfg.optim)([parameter])
        if cfg.get("scheduler"):
            options = dict(cfg.scheduler)
            steps = {"total_steps": 10} if options.pop("interval", "epoch") == "step" else {}
            instantiate(options)(optimizer, **steps)
        optimizer.step(lambda: zeros(()))  # some ask for the loss anew
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError, InstantiationException) as error:
        raise HymtlError(f"optim or scheduler: {in_one_line(error)}. See conf/optim/ and conf/scheduler/.") from error
