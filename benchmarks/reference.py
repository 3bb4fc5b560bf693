"""The reference table: every strategy on both backbones, in five folds over all photos.

    python benchmarks/reference.py --photos DIR --weights STATE_DICT --runs DIR

Each row is a sweep of `python train.py -m` in a folder of its own under --runs. Stop it and start it again: finished
runs are kept, one that was cut short goes on. What trains on kept features, or solves a head, runs its whole recipe
with three seeds; what trains the backbone, or a part of it, runs --epochs epochs with one, the rate's steps scaled with
them, in bfloat16 where --precision says so. `--table` prints what is there and trains nothing. Milliseconds a photo are
those of each row's first network, all that are there timed side by side (`hymtl benchmark`) as the table is printed,
unless all of them were: print it on a quiet machine. Markdown on stdout, progress on stderr.
"""

import argparse
import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import tables  # noqa: E402
from benchmarks.given import facts  # noqa: E402
from benchmarks.recipes import quoted  # noqa: E402
from hymtl.choose import timing  # noqa: E402
from hymtl.compare import grouping, runs  # noqa: E402
from hymtl.compare.rows import Row  # noqa: E402
from hymtl.compare.tables import Table  # noqa: E402

FOLDS, EPOCHS = 5, 25
SOURCE = "hymenoptera"  # leaves the archive's stray imageNotFound.gif out, which data=folder would take for an ant
WHOLE = ("probe", "quantized_probe", "frozen", "quantized")  # their features are computed once
# What trains the backbone, or a part of it.
SHORT = ("finetune", "qat", "partial", "lp_ft", "gradual", "ptq", "scratch")
BACKBONES = ("efficientnet_lite0", "resnet18")
HEAD = (
    "strategy", "epochs, seeds, precision", "accuracy, each fold's best epoch", "corrected for that choice",
    "95 % interval", "points below the first", "adjusted p", "ms a photo", "MB", "fit, s a fold",
    "sha256 of the records",
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """A row of the table: ``words`` are overrides of train.py."""

    backbone: str
    strategy: str
    words: tuple[str, ...]

    def folder(self, root: Path) -> Path:
        return root / self.backbone / self.strategy


def main() -> None:
    options = arguments()
    for plan in [] if options.table else plans(options):
        print(f"{plan.backbone} {plan.strategy}", file=sys.stderr, flush=True)
        train(plan, options)
    for name, value in facts(options.photos, "resnet18", str(options.weights), SOURCE).items():
        print(f"- {name}: {value}")
    for backbone in options.backbones:
        if not (options.runs / backbone).is_dir():
            print(f"\n{backbone}: no runs")
            continue
        for table in timed(options.runs / backbone):
            print(f"\n{backbone}: {table.title}\n")
            print(tables.table(HEAD, (cells(row, table) for row in table.rows)))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="the folder hymenoptera_data, or one that holds it")
    parser.add_argument("--weights", type=Path, required=True, help="a float state dict of resnet18")
    parser.add_argument("--runs", type=Path, required=True, help="where finished runs are kept")
    parser.add_argument("--epochs", type=int, default=8, help="of what trains the backbone")
    parser.add_argument("--precision", default="32-true", help="of what trains the backbone: bf16-mixed, say")
    parser.add_argument("--backbones", default=",".join(BACKBONES))
    parser.add_argument("--strategies", default=",".join((*WHOLE, *SHORT)))
    parser.add_argument("--table", action="store_true", help="train nothing, print what there is")
    options = parser.parse_args()
    options.backbones = options.backbones.split(",")
    return options


def plans(options: argparse.Namespace) -> list[Plan]:
    """All rows; of each strategy in turn both backbones, so that what was reached in the time given compares."""
    made = []
    for strategy in options.strategies.split(","):
        words = ["seed=0,1,2"]
        if strategy in SHORT:
            words = [f"epochs={options.epochs}", shortened(strategy, options.epochs)]
            words.append(f"trainer.precision={options.precision}")
        made += [Plan(backbone, strategy, tuple(words)) for backbone in options.backbones]
    return made


def shortened(strategy: str, epochs: int) -> str:
    """The word that makes the rate of so few epochs fall where it does in the whole recipe."""
    recipe = OmegaConf.load(ROOT / "conf" / "strategy" / f"{strategy}.yaml").recipe
    return f"recipe.step_size={max(1, round(recipe.step_size * epochs / EPOCHS))}"


def train(plan: Plan, options: argparse.Namespace) -> None:
    words = [
        f"data={SOURCE}", f"data.root={quoted(options.photos.resolve())}", f"backbone={plan.backbone}",
        f"strategy={plan.strategy}", f"data.folds={FOLDS}", f"data.fold={','.join(map(str, range(FOLDS)))}",
        "data.features_gb=4", "trainer.accelerator=cpu", "~callbacks.pictures", "logger=null", *plan.words,
        f"hydra.sweep.dir={quoted(plan.folder(options.runs).resolve())}",
    ]  # fmt: skip
    if plan.backbone == "resnet18" and plan.strategy != "scratch":
        words.append(f"backbone.weights={quoted(options.weights.resolve())}")
    done = subprocess.run([sys.executable, "train.py", "-m", *words], cwd=ROOT, stdout=sys.stderr, check=False)
    if done.returncode:
        raise SystemExit(f"{plan.folder(options.runs)}: exit code {done.returncode}")


def timed(folder: Path) -> list[Table]:
    """What is there, with the time of one network of each row."""
    for table in grouping.tables(runs.find([folder]).runs):
        timing.time([row.runs[0].folder for row in table.rows])
    return grouping.tables(runs.find([folder]).runs)


def cells(row: Row, table: Table) -> list[str]:
    """A row, beside the first of its table, with Holm's adjusted p-value of the paired test over photos."""
    run, first = row.runs[0].result, table.rows[0]
    pair = next((pair for pair in table.pairs if {id(pair.first), id(pair.second)} == {id(first), id(row)}), None)
    behind = first.accuracy.mean - row.accuracy.mean
    seeds = f"{len(row.seeds)} seed{'s' * (len(row.seeds) > 1)}"
    return [
        f"`{run.strategy}`", f"{run.epochs}, {seeds}, {run.precision}",
        f"{row.accuracy.mean:.4f}", f"{row.accuracy.mean - row.flattery:.4f}",
        "{:.3f} to {:.3f}".format(*row.interval),
        f"{100 * behind:.1f}" if pair else "", f"{pair.p:.2g}" if pair else "",
        f"{1000 * row.latency.mean:.1f}" if row.latency else "",
        f"{row.size / 1e6:.1f}", f"{row.fit_seconds.mean:.0f}" if row.fit_seconds else "", digest(row)[:12],
    ]  # fmt: skip


def digest(row: Row) -> str:
    """The sha256 of all result.json of a row, one after the other, in the order of seeds and folds."""
    ordered = sorted(row.runs, key=lambda run: (run.seed, run.split.fold or 0))
    return hashlib.sha256(b"".join((run.folder / "result.json").read_bytes() for run in ordered)).hexdigest()


if __name__ == "__main__":
    main()
