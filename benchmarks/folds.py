"""Five folds against one of them: what is computed once for all of them, and what each computes for itself.

    python benchmarks/folds.py --photos DIR --weights STATE_DICT

Of each strategy one command trains the first fold, and another one all folds, on the CPU; each has a HYMTL_HOME of its
own that begins empty: neither finds what another has computed. Markdown on stdout, progress on stderr.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import process, tables  # noqa: E402
from benchmarks.given import facts  # noqa: E402
from benchmarks.recipes import python, quoted, weights  # noqa: E402

HEAD = ("strategy", "one fold, s", "all folds, s", "ratio", "fitting each of all, s")


def main() -> None:
    options = arguments()
    known, load = facts(options.photos, options.backbone, options.weights), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        rows = [row(strategy, options, Path(folder)) for strategy in options.strategies]
    print(tables.environment(known, load))
    print(f"- {options.folds} folds, {options.epochs} epochs each\n")
    print(tables.table(HEAD, rows))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder that holds train/CLASS/ and val/CLASS/")
    parser.add_argument("--weights", required=True, help="a float state dict of the backbone, or imagenet")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--strategies", type=lambda words: words.split(","), default=["frozen", "quantized", "partial"])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=25)
    options = parser.parse_args()
    if Path(options.weights).is_file():  # runs start from the root
        options.weights = str(Path(options.weights).resolve())
    return options


def row(strategy: str, options: argparse.Namespace, folder: Path) -> list[str]:
    one, _ = trained(options, folder / strategy / "one", f"strategy={strategy}", "data.fold=0")
    choices = ",".join(map(str, range(options.folds)))
    every, fitting = trained(options, folder / strategy / "all", f"strategy={strategy}", f"data.fold={choices}")
    print(f"{strategy}: {one:.0f} and {every:.0f} s", file=sys.stderr, flush=True)
    return [strategy, f"{one:.0f}", f"{every:.0f}", f"{every / one:.2f}", ", ".join(f"{s:.0f}" for s in fitting)]


def trained(options: argparse.Namespace, folder: Path, *words: str) -> tuple[float, list[float]]:
    """Seconds of the command as a whole, and of fitting in each of its jobs, in order of their folds."""
    os.environ["HYMTL_HOME"] = str(folder / "home")
    runs = folder / "runs"
    done = process.run(python(
        "train.py", "-m", *words, "data=folder", f"data.root={quoted(options.photos.resolve())}",
        f"backbone={options.backbone}", weights(options), f"data.folds={options.folds}", f"epochs={options.epochs}",
        "data.features_gb=4", "trainer.accelerator=cpu", f"hydra.sweep.dir={quoted(runs)}",
        "hydra.sweep.subdir=${data.fold}",
    ))  # fmt: skip
    if done.error:
        raise SystemExit(done.error)
    return done.seconds, [json.loads(file.read_text())["seconds"]["fit"] for file in sorted(runs.glob("*/result.json"))]


if __name__ == "__main__":
    main()
