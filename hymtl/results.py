"""The result record: what a run used, scored, weighed and took, as ``result.json`` and in TensorBoard."""

import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.loggers import TensorBoardLogger

from hymtl import predictions
from hymtl.callbacks import BestCheckpoint, ConvertBest
from hymtl.errors import HymtlError
from hymtl.files import write_whole
from hymtl.module import TransferModule
from hymtl.report import events

FILE = "result.json"
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core")


def collect(module: TransferModule, trainer: pl.Trainer, *, seed: int, config_hash: str | None = None) -> dict:
    """The record of a fitted run. Accuracies are fractions, sizes bytes, times seconds, epochs count from 0.

    ``best.val_acc`` is of the network as it trained (fake-quantized under qat); ``int8.val_acc``, where the
    strategy quantizes, of the int8 network that is deployed. ``seconds.photo`` is what that takes for one photo
    on the CPU with ``threads`` threads; ``history`` has what was logged, epoch by epoch.
    ``seconds.fit`` of a resumed run counts what came before its last checkpoint too. ``test`` is of the deployed
    network on the test part, ``data_split`` how cross-validation or ``data.test_fraction`` split the photos; each None
    where there is no such thing. ``config_hash`` is :func:`hymtl.fingerprint.digest`'s.

    Raises:
        HymtlError: if no epoch was finished and scored, so that there is nothing to record.
    """
    best, convert, timer = (_callback(trainer, kind) for kind in (BestCheckpoint, ConvertBest, Timer))
    if convert.score is None:
        raise HymtlError("No epoch was finished and validated, so there is no result to record.")
    deployed = {"val_acc": convert.score.accuracy, "val_loss": convert.score.loss}
    quantizes = module.strategy.quantizes
    return {
        "strategy": module.strategy.name,
        "seed": seed,
        "epochs": trainer.current_epoch,
        "dataset": module.hparams.sources["dataset"] | {"root": str(trainer.datamodule.photos.root)},
        "data_split": trainer.datamodule.photos.arrangement,
        "backbone": module.hparams.sources["backbone"],
        "options": module.strategy.spec(),
        "optim": module.hparams.optim,
        "scheduler": module.hparams.scheduler,
        "batch_size": trainer.datamodule.batch_size,
        "best": {"epoch": best.best_epoch, "val_acc": best.best_model_score.item(), "val_loss": best.best_loss},
        "int8": deployed if quantizes else None,
        "test": _test(convert),
        "engine": module.strategy.engine if quantizes else None,
        "int8_cost": convert.cost,
        "seconds": {"fit": timer.time_elapsed("train"), "photo": convert.latency},
        "bytes": convert.bytes,
        "history": events.history(Path(trainer.logger.log_dir)),
        "device": _device(trainer),
        "threads": torch.get_num_threads(),
        "precision": trainer.precision,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "git": git_commit(),
        "config_hash": config_hash,
    }


def _test(convert: ConvertBest) -> dict | None:
    score = convert.test_score
    return score and {"acc": score.accuracy, "loss": score.loss, "photos": len(score.labels)}


def write(result: dict, run_dir: Path, trainer: pl.Trainer) -> None:
    """``predictions.csv``, TensorBoard's hparams with the real metrics and, last, ``result.json``: so a run is done."""
    photos = trainer.datamodule.photos
    score = _callback(trainer, ConvertBest).score
    predictions.write(run_dir / predictions.FILE, photos.splits["val"], photos.classes, score)
    _log_hparams(result, trainer.logger)
    write_whole(run_dir / FILE, json.dumps(result, indent=2) + "\n")


def _log_hparams(result: dict, logger: TensorBoardLogger) -> None:
    settings = {
        "strategy": result["strategy"],
        "seed": result["seed"],
        "epochs": result["epochs"],
        "dataset": f"{result['dataset']['name']} {result['dataset']['digest'][:12]}",
        "backbone": result["backbone"]["name"],
        "weights": f"{result['backbone']['weights']} {(result['backbone']['digest'] or '')[:12]}",
        "lr": result["optim"].get("lr", "default"),
        "batch_size": result["batch_size"],
        "engine": result["engine"] or "float",
    }
    metrics = {"best/val_acc": result["best"]["val_acc"], "best/val_loss": result["best"]["val_loss"]}
    if result["int8"]:
        metrics["int8/val_acc"] = result["int8"]["val_acc"]
    if result["test"]:
        metrics["test/acc"] = result["test"]["acc"]
    logger.log_hyperparams(settings, metrics)
    logger.save()


def deployed_accuracy(result: dict) -> float:
    """The validation accuracy of what is deployed: the int8 network's where there is one."""
    return (result["int8"] or result["best"])["val_acc"]


def summary(result: dict, run_dir: str) -> str:
    """A few lines for the end of a run."""
    best, int8, test, size = result["best"], result["int8"], result.get("test"), result["bytes"]
    lines = [
        "",
        f"{result['strategy']}  seed {result['seed']}  {result['dataset']['name']}  {result['backbone']['name']} "
        f"({result['backbone']['weights']})",
        f"  best val accuracy  {best['val_acc']:.4f}  (epoch {best['epoch']}, loss {best['val_loss']:.4f})",
    ]
    if int8:
        lines.append(f"  int8 val accuracy  {int8['val_acc']:.4f}  (engine {result['engine']})")
        lines += [f"  int8 cost          {_step(step)}" for step in result["int8_cost"]["steps"]]
        lines.append(f"  size               {size['int8'] / 1e6:.1f} MB int8, {size['float'] / 1e6:.1f} MB float")
    if test:
        lines.append(f"  test accuracy      {test['acc']:.4f}  ({test['photos']} photos that nothing was chosen on)")
    lines += [
        f"  fitting took       {result['seconds']['fit']:.0f} s on {result['device']}",
        f"  checkpoint         {run_dir}/checkpoints/best.ckpt",
        f"  artifact           {run_dir}/artifact",
        f"  record             {run_dir}/{FILE}",
        f"  curves             tensorboard --logdir {run_dir}",
    ]
    for source in ("dataset", "backbone"):
        if "fallback" in result[source]:
            lines.append(f"  !!! {result[source]['fallback']}")
    return "\n".join(lines)


def _step(step: dict) -> str:
    return (
        f"{step['from']} to {step['to']}: {len(step['lost'])} photos lost, {len(step['gained'])} gained; "
        f"feature cosine {step['feature_cosine']['mean']:.4f}, logits off by {step['logit_error']['mean']:.3f}"
    )


def _callback(trainer: pl.Trainer, kind: type) -> pl.Callback:
    found = [callback for callback in trainer.callbacks if isinstance(callback, kind)]
    if not found:
        raise HymtlError(f"A result needs the callback {kind.__name__}: keep it in conf/callbacks/.")
    return found[0]


def _device(trainer: pl.Trainer) -> str:
    device = trainer.strategy.root_device
    if device.type == "cuda":
        return f"{trainer.num_devices} x {torch.cuda.get_device_name(device)}"
    return f"{device.type}, {torch.get_num_threads()} threads"


def git_commit() -> str | None:
    """The commit of this code, marked where the working tree differs; None outside a git checkout."""
    here = Path(__file__).parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        return commit + ("-dirty" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(here: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=here, check=True, capture_output=True, text=True).stdout.strip()
