"""How steady training is: accuracy out of fold, epoch after epoch.

    python benchmarks/steady.py --photos DIR --runs DIR "strategy=qat backbone=efficientnet_lite0"

DIR holds CLASS/ folders: give training photos alone, and those that are to judge the choice stay unseen. Each quoted
group of words is trained as `python train.py` in every fold and with every seed; accuracy is pooled over the folds, so
that each photo is scored once by a network that did not train on it. How far apart the last five epochs are is what to
look at. Finished runs are kept in --runs and not repeated: stop it and start it again. Markdown on stdout, progress on
stderr.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import process, tables  # noqa: E402
from benchmarks.given import facts  # noqa: E402
from benchmarks.recipes import python, quoted  # noqa: E402

LAST = 5  # epochs that are compared
LONGEST = 240  # letters of a folder's name, of 255 that file systems take
HEAD = ("settings", "seed", "folds", "photos", f"the last {LAST} epochs", "apart, points", "lowest of all epochs")


def main() -> None:
    options = arguments()
    rows = []
    for words in options.words:
        for seed in numbers(options.seeds):
            only = numbers(options.only) if options.only else range(options.folds)
            runs = [ran(words, seed, fold, options) for fold in only]
            rows.append(row(words, seed, runs))
            print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    print(*(f"- {name}: {value}" for name, value in facts(options.photos).items()), "", sep="\n")
    print(tables.table(HEAD, rows))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder that holds CLASS/")
    parser.add_argument("--runs", type=Path, required=True, help="where finished runs are kept")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", help="some of the folds, from 0, such as 0,1: all together take hours")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--tree", type=Path, default=ROOT, help="another checkout of hymtl to train with")
    parser.add_argument("words", nargs="+", help="overrides of train.py, a quoted group of them each")
    return parser.parse_args()


def numbers(words: str) -> list[int]:
    return [int(word) for word in words.split(",")]


def ran(words: str, seed: int, fold: int, options: argparse.Namespace) -> dict:
    """The record of one run, which is made unless it is there."""
    name = f"{words.replace('/', '_')} epochs={options.epochs} folds={options.folds} fold={fold} seed={seed}"
    if len(name) > LONGEST:
        name = f"{name[:LONGEST]} {hashlib.sha256(name.encode()).hexdigest()[:8]}"
    run = (options.runs / name.replace(" ", ",")).resolve()
    if not (run / "result.json").is_file():
        given = ["data=folder", f"data.root={quoted(options.photos.resolve())}", "trainer.accelerator=cpu"]
        given += ["~callbacks.pictures", "~callbacks.last", "logger=null"]
        given += [f"epochs={options.epochs}", f"data.folds={options.folds}", f"data.fold={fold}", f"seed={seed}"]
        done = process.run(python("train.py", *given, *words.split(), f"hydra.run.dir={quoted(run)}"), options.tree)
        if done.error:
            raise SystemExit(done.error)
    return json.loads((run / "result.json").read_text())


def pooled(runs: list[dict]) -> list[float]:
    """Validation accuracy of each epoch, pooled over folds."""
    photos = [run["dataset"]["val"] for run in runs]
    epochs = zip(*(run["history"]["val/acc"] for run in runs), strict=True)
    return [sum(acc * size for acc, size in zip(one, photos, strict=True)) / sum(photos) for one in epochs]


def row(words: str, seed: int, runs: list[dict]) -> list[str]:
    every = pooled(runs)
    last = every[-LAST:]
    photos = sum(run["dataset"]["val"] for run in runs)
    shown, apart = ", ".join(f"{one:.3f}" for one in last), 100 * (max(last) - min(last))
    return [f"`{words}`", str(seed), str(len(runs)), str(photos), shown, f"{apart:.1f}", f"{min(every):.3f}"]


if __name__ == "__main__":
    main()
