"""The last word of the story: what a run used, scored, weighed and took, put on record."""

import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.tensorboard.summary import hparams

from hymtl import metrics, records
from hymtl.callbacks.best_checkpoint import BestCheckpoint
from hymtl.data.photos import Photo
from hymtl.deploy.calibration import calibration_error
from hymtl.deploy.evaluation import Score, probabilities
from hymtl.errors import HymtlError
from hymtl.module import TransferModule
from hymtl.records import plain, predictions, result
from hymtl.records.predictions import Guess
from hymtl.records.result import Result
from hymtl.resuming import RECORDED
from hymtl.runtime import threads_in_words

_PLACES = re.compile(r"~|hydra|.*(root|weights|path|dir|uri)$")  # what has a path, or takes something out
ARROW = "\u2192"  # before the name of a score
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core")


def record(
    module: TransferModule,
    trainer: pl.Trainer,
    history: dict[str, list[float | None]],
    folder: Path,
    *,
    seed: int,
    config_hash: str | None = None,
    probe: result.Probe | None = None,
) -> Result:
    """Write ``predictions.csv``, TensorBoard's hparams with the real metrics and, last, ``result.json``: a run is done.

    ``module`` was fitted by ``trainer`` and has what was deployed; ``history`` is that of
    :class:`hymtl.callbacks.history.History`, ``probe`` what a probe scores on the features that it began with.

    Raises:
        HymtlError: if no epoch was finished and scored, so that there is nothing to record.
    """
    if module.deployed is None:
        raise HymtlError(
            "No epoch was finished and validated, so there is no result to record. Let it train for longer."
        )
    made = _collect(module, trainer, history, seed, config_hash)
    made.probe = probe
    photos = trainer.datamodule.pictures.photos
    rows = _guesses(photos.splits["val"], photos.classes, module.deployed.val, module.deployed.temperature)
    predictions.write(folder / predictions.FILE, photos.classes, rows)
    _log_hparams(made, trainer, _given(folder))
    records.write(made, folder / result.FILE)
    return made


def _collect(module: TransferModule, trainer: pl.Trainer, history: dict, seed: int, config_hash: str | None) -> Result:
    deployed, strategy, facts = module.deployed, module.strategy, module.hparams
    best, pictures = trainer.checkpoint_callback, trainer.datamodule.pictures
    assert deployed and isinstance(best, BestCheckpoint) and best.best_epoch >= 0
    timer = next((callback for callback in trainer.callbacks if isinstance(callback, Timer)), None)
    return Result(
        format=result.FORMAT,
        strategy=strategy.name,
        seed=seed,
        epochs=trainer.current_epoch,
        dataset=result.Dataset(**facts.sources["dataset"], root=str(pictures.photos.root)),
        data_check=pictures.photos.checked and result.Check(**pictures.photos.checked),
        data_split=pictures.photos.arrangement and result.Split(**pictures.photos.arrangement),
        backbone=result.Backbone(**facts.sources["backbone"]),
        options=strategy.spec(),
        optim=facts.optim,
        scheduler=facts.scheduler,
        batch_size=pictures.batch_size,
        best=result.Best(
            epoch=best.best_epoch,
            val_acc=best.best_acc,
            val_loss=best.best_loss,
            balanced_acc=best.best_balanced_acc,
            monitor=best.monitor or "the last epoch",
        ),
        int8=result.Deployed(val_acc=deployed.val.accuracy, val_loss=deployed.val.loss) if strategy.quantizes else None,
        val=_scores(deployed.val, facts.classes),
        test=_test(deployed.test, facts.classes, deployed.temperature),
        calibration=deployed.calibration,
        unsure=deployed.unsure,
        engine=strategy.spec()["engine"] if strategy.quantizes else None,
        int8_cost=deployed.cost,
        seconds=result.Seconds(fit=timer and timer.time_elapsed("train"), photo=deployed.latency),
        bytes=result.Bytes.model_validate(deployed.bytes),
        history=history,
        predictions_format=predictions.FORMAT,
        device=_device(trainer),
        threads=torch.get_num_threads(),
        precision=str(trainer.precision),
        versions={"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        git=git_commit(),
        config_hash=config_hash,
    )


def _test(score: Score | None, classes: list[str], temperature: float) -> result.Test | None:
    if score is None:
        return None
    photos, scores = len(score.labels), _scores(score, classes)
    error = calibration_error(probabilities(score.logits, temperature), score.labels)
    return result.Test(acc=score.accuracy, loss=score.loss, photos=photos, scores=scores, ece=error)


def _scores(score: Score, classes: list[str]) -> result.Scores:
    from hymtl.compare.statistics import wilson  # here, so that a start does not wait for scipy

    matrix, found = score.confusion, {}
    for name, photos, recall in zip(
        classes, matrix.sum(axis=1).tolist(), metrics.recalls(matrix).tolist(), strict=True
    ):
        if photos:
            low, high = wilson(recall, photos)
            found[name] = result.Recall(photos=photos, recall=recall, low=low, high=high)
    return result.Scores(
        balanced_acc=metrics.balanced_accuracy(matrix), macro_f1=metrics.macro_f1(matrix), classes=found
    )


def _guesses(photos: list[Photo], classes: list[str], score: Score, temperature: float) -> list[Guess]:
    rows = []
    given, guesses = probabilities(score.logits, temperature).tolist(), score.logits.argmax(dim=1).tolist()
    for photo, row, guess in zip(photos, given, guesses, strict=True):
        said = dict(zip(classes, row, strict=True))
        group = None if photo.group is None else photo.group.replace("\0", " ")
        rows.append(Guess(photo.name, classes[photo.label], classes[guess], said, group))
    return rows


def _log_hparams(made: Result, trainer: pl.Trainer, given: dict[str, str | float]) -> None:
    chosen: dict[str, Any] = {
        "strategy": made.strategy,
        "seed": made.seed,
        "epochs": made.epochs,
        "data": f"{made.dataset.name} {made.dataset.digest[:12]}",
        "backbone": made.backbone.name,
        "backbone.weights": f"{made.backbone.weights} {(made.backbone.digest or '')[:12]}",
    }
    recipe: dict[str, Any] = {
        "optim.lr": made.optim.get("lr", "default"),
        "data.batch_size": made.batch_size,
        "strategy.engine": made.engine or "float",
    }
    scores = _scores_by_name(made)
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            _log_to_tensorboard(logger, given | chosen, recipe, scores)
            logger.experiment.add_text("recall of each class", _table(made.val), made.epochs)
        else:
            logger.log_hyperparams(given | recipe | chosen)
            logger.log_metrics(scores, step=made.epochs)
        logger.save()


def _scores_by_name(made: Result) -> dict[str, float]:
    scores = {"best/val_acc": made.best.val_acc, "best/val_loss": made.best.val_loss}
    if made.val:
        scores |= {"deployed/balanced_acc": made.val.balanced_acc, "deployed/macro_f1": made.val.macro_f1}
    if made.deployed_calibration:
        error = made.deployed_calibration
        scores["deployed/ece"] = error.ece_before if error.ece_after is None else error.ece_after
    if made.int8:
        scores["int8/val_acc"] = made.int8.val_acc
    if made.test:
        scores["test/acc"] = made.test.acc
    return {name: value for name, value in scores.items() if value is not None}


def _given(folder: Path) -> dict[str, str | float]:
    """What the run's command line set, by name; places, which would make columns as wide as the page, left out."""
    file = folder / RECORDED
    words = plain.read(file) if file.is_file() else []
    pairs = [str(word).lstrip("+").partition("=")[::2] for word in words]
    return {name: _number(value) for name, value in pairs if value and not _PLACES.match(name)}


def _number(value: str) -> str | float:
    try:
        return float(value)
    except ValueError:
        return value


def _table(scores: result.Scores | None) -> str:
    """Recall of each class with its interval, in Markdown."""
    lines = ["| class | photos | recall | 95 % interval |", "|---|---|---|---|"]
    for name, one in scores.classes.items() if scores else ():
        lines.append(f"| {name} | {one.photos} | {one.recall:.4f} | {one.low:.3f} to {one.high:.3f} |")
    return "\n".join(lines)


def _log_to_tensorboard(logger: TensorBoardLogger, chosen: dict, recipe: dict, scores: dict) -> None:
    """A row of TensorBoard's HPARAMS page, and ``hparams.yaml``, which Lightning has written empty by now.

    Scores are columns beside the settings: as metrics they would be charts of a single point among the curves.
    The page shows some columns at first, those that differ between runs, by the alphabet: so what follows from the
    strategy is left to ``hparams.yaml``, and scores have an arrow, which comes after all letters. What differs it finds
    out for itself only where no run describes the experiment as a whole, torch's first summary.
    """
    columns = chosen | {f"{ARROW} {name}": value for name, value in scores.items()}
    for summary in hparams(columns, {})[1:]:
        logger.experiment._get_file_writer().add_summary(summary)
    logger.hparams.update(chosen | recipe)
    Path(logger.log_dir, logger.NAME_HPARAMS_FILE).unlink(missing_ok=True)


def _device(trainer: pl.Trainer) -> str:
    device = trainer.strategy.root_device
    if device.type == "cuda":
        return f"{trainer.num_devices} x {torch.cuda.get_device_name(device)}"
    return f"{device.type}, {threads_in_words(torch.get_num_threads())}"


def git_commit() -> str | None:
    """The commit of this code, marked where the working tree differs; None outside a git checkout of its own."""
    here = Path(__file__).parent
    try:
        _git(here, "ls-files", "--error-unmatch", __file__)  # installed into a project, the checkout is the project's
        commit = _git(here, "rev-parse", "HEAD")
        return commit + ("-dirty" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(here: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=here, check=True, capture_output=True, text=True).stdout.strip()
