"""The recipes' accuracy before and after a change, of hymtl or of a setting: is the difference within what seeds do?

    python benchmarks/accuracy.py --before COMMIT --photos DIR --weights STATE_DICT
    python benchmarks/accuracy.py --after trainer.precision=bf16-mixed --photos DIR --weights STATE_DICT --epochs 8

A commit is checked out beside, and `python train.py` runs in both trees; a setting is left at its default before.
Seed after seed, with everything else at its default but the photos, the weights, the strategy and the epochs (the
steps of the rate scaled with them). Best validation accuracy; where the strategy quantizes, the int8 network's in
brackets. Markdown on stdout, progress on stderr.
"""

import argparse
import contextlib
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scipy.stats import t  # noqa: E402

from benchmarks import process, tables  # noqa: E402
from benchmarks.given import facts  # noqa: E402
from benchmarks.recipes import python, quoted  # noqa: E402
from benchmarks.reference import shortened  # noqa: E402

EPOCHS = {"finetune": 2, "frozen": 5, "quantized": 5, "qat": 2}  # training on pictures takes a core's patience
HEAD = (
    "strategy (epochs)",
    "before: mean, standard deviation",
    "after",
    "difference of means, 95 % interval",
    "each seed, before; after",
)


def main() -> None:
    options = arguments()
    rows = []
    with tempfile.TemporaryDirectory() as folder, compared(options, Path(folder)) as sides:
        for strategy in options.strategies.split(","):
            epochs = options.epochs or EPOCHS[strategy]
            words = [f"strategy={strategy}", f"epochs={epochs}"]
            words += [shortened(strategy, epochs)] if options.epochs else []
            found = [[score(tree, [*words, *more], seed, options, Path(folder)) for seed in range(options.seeds)]
                     for tree, more in sides]  # fmt: skip
            rows.append(row(f"{strategy} ({epochs})", *found))
    print(
        *(f"- {name}: {value}" for name, value in facts(options.photos, "resnet18", str(options.weights)).items()),
        sep="\n",
    )
    print(f"- before: commit {options.before}\n" if options.before else f"- after: {options.after}\n")
    print(tables.table(HEAD, rows))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    change = parser.add_mutually_exclusive_group(required=True)
    change.add_argument("--before", metavar="COMMIT", help="against this one")
    change.add_argument("--after", metavar="KEY=VALUE", help="a setting, against its default")
    parser.add_argument("--photos", type=Path, required=True, help="a folder that holds train/CLASS/ and val/CLASS/")
    parser.add_argument("--weights", type=Path, required=True, help="a float state dict of resnet18")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--strategies", default=",".join(EPOCHS))
    parser.add_argument("--epochs", type=int, help="of all strategies; else a few")
    return parser.parse_args()


@contextlib.contextmanager
def compared(options: argparse.Namespace, folder: Path) -> Iterator[tuple[tuple[Path, list[str]], ...]]:
    """Both sides: a tree to train in, and words to train with."""
    if options.after:
        yield (ROOT, []), (ROOT, [options.after])
        return
    before = folder / "before"
    git("worktree", "add", "--detach", str(before), options.before)
    try:
        yield (before, []), (ROOT, [])
    finally:
        git("worktree", "remove", "--force", str(before))


def git(*words: str) -> None:
    subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True)


def score(
    tree: Path, words: list[str], seed: int, options: argparse.Namespace, folder: Path
) -> tuple[float, float | None]:
    """Best validation accuracy of a run, and the int8 network's, None where nothing is quantized."""
    run = folder / "run"
    photos, weights = quoted(options.photos.resolve()), quoted(options.weights.resolve())
    given = ["data=folder", f"data.root={photos}", "backbone=resnet18", f"backbone.weights={weights}"]
    given += ["trainer.accelerator=cpu", "~callbacks.pictures", f"seed={seed}", f"hydra.run.dir={quoted(run)}"]
    done = process.run(python("train.py", *given, *words), tree)
    if done.error:
        raise SystemExit(done.error)
    result = json.loads((run / "result.json").read_text())
    found = result["best"]["val_acc"], result["int8"] and result["int8"]["val_acc"]
    print(tree.name, *words, seed, *found, file=sys.stderr, flush=True)
    return found


def row(name: str, before: list[tuple], after: list[tuple]) -> list[str]:
    trained, int8 = ([[score[kind] for score in scores] for scores in (before, after)] for kind in (0, 1))
    each = "; ".join(" ".join(f"{one:.3f}" for one in scores) for scores in trained)
    cells = summary(*trained)
    if int8[0][0] is not None:
        cells = [f"{cell} ({of_int8})" for cell, of_int8 in zip(cells, summary(*int8), strict=True)]
    return [name, *cells, each]


def summary(before: list[float], after: list[float]) -> list[str]:
    return [spread(before), spread(after), changed(before, after)]


def changed(before: list[float], after: list[float]) -> str:
    """The mean difference, and Student's interval for it, paired by seed."""
    differences = [now - then for then, now in zip(before, after, strict=True)]
    number = len(differences)
    if number == 1:
        return f"{differences[0]:+.4f}"
    room = t.ppf(0.975, number - 1) * stdev(differences) / math.sqrt(number)
    return f"{mean(differences):+.4f}, {mean(differences) - room:+.4f} to {mean(differences) + room:+.4f}"


def spread(scores: list[float]) -> str:
    return f"{mean(scores):.4f} ± {stdev(scores):.4f}" if len(scores) > 1 else f"{scores[0]:.4f}"


if __name__ == "__main__":
    main()
