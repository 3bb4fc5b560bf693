"""Run folders made up: what a run leaves, without the run."""

import csv
import json
import random
from pathlib import Path

import yaml

RECIPES = {
    "finetune": {"lr": 1e-3, "decay": 0.0, "batch": 4, "step": 7, "resize": 256, "options": {"batch_norm": "auto"}},
    "frozen": {"lr": 1e-3, "decay": 0.0, "batch": 4, "step": 7, "resize": 256, "options": {"batch_norm": "eval"}},
    "quantized": {"lr": 1e-2, "decay": 0.0, "batch": 16, "step": 7, "resize": 224, "options": {"engine": "onednn"}},
    "qat": {"lr": 1e-3, "decay": 0.1, "batch": 16, "step": 5, "resize": 224, "options": {"engine": "onednn"}},
    "scratch": {"lr": 1e-3, "decay": 0.0, "batch": 4, "step": 7, "resize": 256, "options": {}},
}
CLASSES = ["ants", "bees"]


def names(count: int) -> list[tuple[str, str]]:
    """Photos and what they are, half of each class."""
    return [(f"val/{CLASSES[i % 2]}/{i:04}.jpg", CLASSES[i % 2]) for i in range(count)]


def timed(seconds: float, quantizes: bool) -> dict:
    """What `hymtl benchmark` leaves of one network in torch."""
    batches = {
        size: {
            "median": seconds * int(size),
            "low": seconds * int(size) * 0.9,
            "high": seconds * int(size) * 1.1,
            "rounds": 15,
        }
        for size in ("1", "16", "32")
    }
    contender = {"runtime": "torch", "precision": "int8" if quantizes else "float", "deployed": True, "bytes": 100}
    return {
        "format": 1, "machine": "x86_64, AVX512, 2 threads", "cpu": "cpu", "threads": 2,
        "contenders": [contender | {"batches": batches}],
    }  # fmt: skip


def write(
    folder: Path, strategy: str = "finetune", *, seed: int = 0, wrong: set[int] = frozenset(), photos=None, lr=None,
    digest: str = "d" * 64, weights: str = "b" * 64, root: str = "/nowhere", overrides=(), hydra: bool = True,
    predictions: bool = True, epochs: int = 3, fold: dict | None = None, test: float | None = None,
    epoch_curve=lambda epoch: 0.5, benchmark: bool = True, more: dict | None = None,
) -> Path:  # fmt: skip
    """A finished run of ``strategy`` that has the photos numbered ``wrong`` wrong and the others right."""
    recipe, photos = RECIPES[strategy], photos or names(10)
    lr = lr or recipe["lr"]
    quantizes = strategy in ("quantized", "qat")
    accuracy = 1 - len(wrong) / len(photos)
    noise = random.Random(f"{strategy}{seed}{lr}{fold}")
    history = {
        "train/loss": [1.0 / (1 + epoch_curve(e)) + noise.gauss(0, 0.02) for e in range(epochs)],
        "val/loss": [0.9 / (1 + epoch_curve(e)) + noise.gauss(0, 0.02) for e in range(epochs)],
        "train/acc": [accuracy * epoch_curve(e) + noise.gauss(0, 0.01) for e in range(epochs)],
        "val/acc": [accuracy * epoch_curve(e) + noise.gauss(0, 0.01) for e in range(epochs)],
    }
    optim = {"_target_": "torch.optim.SGD", "lr": lr, "momentum": 0.9, "weight_decay": recipe["decay"]}
    scheduler = {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": recipe["step"], "gamma": 0.1}
    result = {
        "strategy": strategy, "seed": seed, "epochs": epochs,
        "dataset": {
            "name": "hymenoptera", "digest": digest, "root": root, "classes": CLASSES, "train": 244, "val": len(photos),
        },
        "backbone": {"name": "resnet18", "weights": "imagenet", "digest": weights},
        "options": {"name": strategy, **recipe["options"]}, "optim": optim, "scheduler": scheduler,
        "batch_size": recipe["batch"],
        "best": {"epoch": epochs - 1, "val_acc": accuracy, "val_loss": 0.2},
        "int8": {"val_acc": accuracy, "val_loss": 0.21} if quantizes else None,
        "engine": "onednn" if quantizes else None,
        "seconds": {"fit": noise.uniform(20, 100), "photo": noise.uniform(0.01, 0.012) * (1 if quantizes else 3)},
        "bytes": {"float": 44_789_963, "int8": 11_312_487 if quantizes else None},
        "history": history, "device": "cpu, 2 threads", "threads": 2, "precision": "32-true",
        "versions": {"torch": "2.15.0"}, "git": "0" * 40,
    }  # fmt: skip
    if fold is not None:
        result["data_split"] = fold
    if test is not None:
        result["test"] = {"acc": test, "loss": 0.3}
    for key, values in (more or {}).items():
        result[key] |= values
    folder.mkdir(parents=True)
    if benchmark:
        (folder / "benchmark.json").write_text(json.dumps(timed(result["seconds"]["photo"], quantizes)))
    if hydra:
        config = {
            "seed": seed, "epochs": epochs, "run_dir": "${hydra:runtime.output_dir}",
            "data": {"batch_size": recipe["batch"], "resize": recipe["resize"], "root": root, "workers": "auto"},
            "backbone": {"name": "auto", "weights": "imagenet"}, "optim": optim, "scheduler": scheduler,
            "trainer": {"max_epochs": "${epochs}", "precision": "32-true"},
            "strategy": {"name": strategy, **recipe["options"]},
        }  # fmt: skip
        if fold is not None:
            config["data"] |= fold
        (folder / ".hydra").mkdir()
        (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config))
        (folder / ".hydra" / "overrides.yaml").write_text(
            yaml.safe_dump([f"strategy={strategy}", f"seed={seed}", *overrides])
        )
    if predictions:
        write_predictions(folder, photos, wrong)
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def write_predictions(folder: Path, photos: list[tuple[str, str]], wrong: set[int]) -> None:
    with (folder / "predictions.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["photo", "label", "guess", *(f"p({name})" for name in CLASSES)])
        for i, (photo, label) in enumerate(photos):
            guess = CLASSES[(CLASSES.index(label) + (i in wrong)) % 2] if label in CLASSES else label
            rows.writerow([photo, label, guess, *(f"{0.9 if name == guess else 0.1:.6f}" for name in CLASSES)])


def write_failure(folder: Path, error: str, overrides: list[str]) -> Path:
    folder.mkdir(parents=True)
    (folder / "failure.json").write_text(json.dumps({"error": error, "overrides": overrides}))
    return folder
