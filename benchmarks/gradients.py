"""How long gradients are, step by step, before they are clipped.

    python benchmarks/gradients.py --photos DIR "strategy=finetune backbone=efficientnet_lite0"

DIR holds CLASS/ folders. Each quoted group of words is trained as `python train.py` on one half of the photos, for two
epochs. A limit (`trainer.gradient_clip_val`) that most steps reach is no guard against a rare one: it divides the rate.
Markdown on stdout.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import quantiles

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import grad_norm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import process, tables  # noqa: E402
from benchmarks.given import facts  # noqa: E402
from benchmarks.recipes import python, quoted  # noqa: E402

EPOCHS, TWENTIETHS = 2, 20
HEAD = ("settings", "epoch", "steps", "5 % are shorter than", "median", "5 % are longer than", "clipped")


class Norms(pl.Callback):
    """Writes the norm of all gradients together, of each step by epoch, to ``path``."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.norms: list[list[float]] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.norms.append([])

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        self.norms[-1].append(float(grad_norm(pl_module, 2)["grad_2.0_norm_total"]))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        limit = trainer.gradient_clip_val
        self.path.write_text(json.dumps({"limit": limit, "norms": self.norms}))


def main() -> None:
    options = arguments()
    found = []
    for words in options.words:
        with tempfile.TemporaryDirectory() as folder:
            found += rows(words, options.photos, Path(folder))
    print(*(f"- {name}: {value}" for name, value in facts(options.photos).items()), "", sep="\n")
    print(tables.table(HEAD, found))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder that holds CLASS/")
    parser.add_argument("words", nargs="+", help="overrides of train.py, a quoted group of them each")
    return parser.parse_args()


def rows(words: str, photos: Path, folder: Path) -> list[list[str]]:
    """An epoch each."""
    norms = folder / "norms.json"
    given = [
        "data=folder", f"data.root={quoted(photos.resolve())}", "data.folds=2", "data.fold=0", f"epochs={EPOCHS}",
        "trainer.accelerator=cpu", "~callbacks.pictures", "logger=null", f"hydra.run.dir={quoted(folder / 'run')}",
        "+callbacks.norms._target_=benchmarks.gradients.Norms", f"+callbacks.norms.path={quoted(norms)}",
    ]  # fmt: skip
    done = process.run(python("train.py", *given, *words.split()))
    if done.error:
        raise SystemExit(done.error)
    kept = json.loads(norms.read_text())
    return [row(words, epoch, one, kept["limit"]) for epoch, one in enumerate(kept["norms"])]


def row(words: str, epoch: int, norms: list[float], limit: float | None) -> list[str]:
    cuts = quantiles(norms, n=TWENTIETHS)
    clipped = "" if limit is None else f"{sum(norm > limit for norm in norms) / len(norms):.0%}"
    middle = cuts[TWENTIETHS // 2 - 1]
    return [f"`{words}`", str(epoch), str(len(norms)), *(f"{one:.1f}" for one in (cuts[0], middle, cuts[-1])), clipped]


if __name__ == "__main__":
    main()
