"""The recipes' accuracy before and after a change of hymtl: is the difference within what seeds do?

    python benchmarks/accuracy.py --before COMMIT --photos DIR --weights STATE_DICT

The commit is checked out beside, and `python train.py` runs in both trees, seed after seed, with everything at its
default but the photos, the weights, the strategy and the epochs. Best validation accuracy; where the strategy
quantizes, the int8 network's in brackets. Markdown on stdout, progress on stderr.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import process, tables  # noqa: E402
from benchmarks.given import facts  # noqa: E402
from benchmarks.recipes import python, quoted  # noqa: E402

EPOCHS = {"finetune": 2, "frozen": 5, "quantized": 5, "qat": 2}  # training on pictures takes a core's patience
HEAD = (
    "strategy (epochs)",
    "before: mean, standard deviation",
    "after",
    "difference of means",
    "each seed, before; after",
)


def main() -> None:
    options = arguments()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        git("worktree", "add", "--detach", str(before), options.before)
        try:
            for strategy in options.strategies.split(","):
                found = [[score(tree, strategy, seed, options, Path(folder)) for seed in range(options.seeds)]
                         for tree in (before, ROOT)]  # fmt: skip
                rows.append(row(f"{strategy} ({EPOCHS[strategy]})", *found))
        finally:
            git("worktree", "remove", "--force", str(before))
    print(
        *(f"- {name}: {value}" for name, value in facts(options.photos, "resnet18", str(options.weights)).items()),
        sep="\n",
    )
    print(f"- before: commit {options.before}\n")
    print(tables.table(HEAD, rows))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True, metavar="COMMIT")
    parser.add_argument("--photos", type=Path, required=True, help="a folder that holds train/CLASS/ and val/CLASS/")
    parser.add_argument("--weights", type=Path, required=True, help="a float state dict of resnet18")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--strategies", default=",".join(EPOCHS))
    return parser.parse_args()


def git(*words: str) -> None:
    subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True)


def score(
    tree: Path, strategy: str, seed: int, options: argparse.Namespace, folder: Path
) -> tuple[float, float | None]:
    """Best validation accuracy of a run, and the int8 network's, None where nothing is quantized."""
    run = folder / "run"
    photos, weights = quoted(options.photos.resolve()), quoted(options.weights.resolve())
    given = ["data=folder", f"data.root={photos}", f"backbone.weights={weights}", "trainer.accelerator=cpu"]
    recipe = [f"strategy={strategy}", f"epochs={EPOCHS[strategy]}", f"seed={seed}", "~callbacks.pictures"]
    done = process.run(python("train.py", *given, *recipe, f"hydra.run.dir={quoted(run)}"), tree)
    if done.error:
        raise SystemExit(done.error)
    result = json.loads((run / "result.json").read_text())
    found = result["best"]["val_acc"], result["int8"] and result["int8"]["val_acc"]
    print(tree.name, strategy, seed, *found, file=sys.stderr, flush=True)
    return found


def row(name: str, before: list[tuple], after: list[tuple]) -> list[str]:
    trained, int8 = ([[score[kind] for score in scores] for scores in (before, after)] for kind in (0, 1))
    each = "; ".join(" ".join(f"{one:.3f}" for one in scores) for scores in trained)
    cells = summary(*trained)
    if int8[0][0] is not None:
        cells = [f"{cell} ({of_int8})" for cell, of_int8 in zip(cells, summary(*int8), strict=True)]
    return [name, *cells, each]


def summary(before: list[float], after: list[float]) -> list[str]:
    return [spread(before), spread(after), f"{mean(after) - mean(before):+.4f}"]


def spread(scores: list[float]) -> str:
    return f"{mean(scores):.4f} ± {stdev(scores):.4f}" if len(scores) > 1 else f"{scores[0]:.4f}"


if __name__ == "__main__":
    main()
