"""A sweep against as many single commands, and as many of the tutorials' loops, on the same photos.

    python benchmarks/sweep.py --photos DIR --weights STATE_DICT

Four strategies and three seeds, ResNet-18, on the CPU: twelve times `python train.py`, one `python train.py -m`, twelve
times `benchmarks/tutorial.py`. Each of hymtl's has a HYMTL_HOME of its own that begins empty: neither finds what the
other has computed. What a sweep can share is what is no epoch: imports, photos, weights, calibration, scores, the
record. Markdown on stdout, progress on stderr.
"""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import process, recipes, tables  # noqa: E402
from benchmarks.recipes import python, quoted  # noqa: E402

STRATEGIES, SEEDS = ("finetune", "frozen", "quantized", "qat"), ("0", "1", "2")
HEAD = ("", "processes", "wall time, s", "in epochs, s", "outside them, s", "a job, s")


@dataclass
class Spent:
    """Seconds of one way to train all jobs."""

    wall: float = 0.0
    epochs: float = 0.0
    processes: int = 0

    @property
    def outside(self) -> float:
        return self.wall - self.epochs

    def add(self, done: process.Process, records: list[Path]) -> None:
        if done.error:
            raise SystemExit(done.error)
        lasted = [e["end"] - e["start"] for file in records for e in json.loads(file.read_text())["epochs"]]
        self.wall, self.epochs, self.processes = self.wall + done.seconds, self.epochs + sum(lasted), self.processes + 1
        print(f"{done.seconds:.1f} s, {sum(lasted):.1f} of them epochs", file=sys.stderr, flush=True)


def main() -> None:
    options = arguments()
    jobs = [(strategy, seed) for strategy in options.strategies for seed in options.seeds]
    with tempfile.TemporaryDirectory() as folder:
        given = recipes.prepare(options, Path(folder))
        found = {"single commands": singles(options, jobs, Path(folder)), "one sweep": sweep(options, Path(folder))}
        if not options.no_loops:
            found["tutorials' loops"] = loops(options, jobs, Path(folder))
    print(tables.environment(given["facts"], os.getloadavg()[0]))
    print(f"- {len(jobs)} jobs of {options.epochs} epochs: {', '.join(options.strategies)}, seeds {options.seeds}\n")
    print(tables.table(HEAD, (row(name, spent, len(jobs)) for name, spent in found.items())))
    ours, theirs = (found[name].outside for name in ("one sweep", "single commands"))
    print(
        f"\nOutside its epochs the sweep spends {ours / theirs:.2f} of what the single commands spend outside theirs."
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder that holds train/CLASS/ and val/CLASS/")
    parser.add_argument("--weights", required=True, help="a float state dict of resnet18")
    parser.add_argument("--epochs", type=int, default=2, help="of each job: what is no epoch hardly depends on them")
    parser.add_argument("--strategies", type=lambda words: words.split(","), default=list(STRATEGIES))
    parser.add_argument("--seeds", type=lambda words: words.split(","), default=list(SEEDS))
    parser.add_argument("--no-loops", action="store_true", help="leave the tutorials' loops out")
    options = parser.parse_args()
    options.backbone, options.quick, options.recipes = "resnet18", False, options.strategies
    return options


def singles(options: argparse.Namespace, jobs: list[tuple[str, str]], folder: Path) -> Spent:
    spent = Spent()
    for strategy, seed in jobs:
        run = folder / "singles" / f"{strategy}{seed}"
        spent.add(train(options, [f"strategy={strategy}", f"seed={seed}", f"hydra.run.dir={quoted(run)}"], run.parent),
                  [run / "times.json"])  # fmt: skip
    return spent


def sweep(options: argparse.Namespace, folder: Path) -> Spent:
    spent, runs = Spent(), folder / "sweep"
    choices = [f"strategy={','.join(options.strategies)}", f"seed={','.join(options.seeds)}"]
    where = [f"hydra.sweep.dir={quoted(runs)}", "hydra.sweep.subdir=${strategy.name}${seed}"]
    done = train(options, ["-m", *choices, *where], folder)
    spent.add(done, sorted(runs.glob("*/times.json")))
    return spent


def loops(options: argparse.Namespace, jobs: list[tuple[str, str]], folder: Path) -> Spent:
    spent = Spent()
    for strategy, _ in jobs:
        spent.add(process.run(recipes.tutorial(options, strategy, folder)), [folder / "record.json"])
    return spent


def train(options: argparse.Namespace, words: list[str], home: Path) -> process.Process:
    os.environ["HYMTL_HOME"] = str(home / "home")
    network = ["backbone=resnet18", recipes.weights(options), f"epochs={options.epochs}"]
    return process.run(python("train.py", *words, *recipes.watched(options, "${run_dir}/times.json"), *network))


def row(name: str, spent: Spent, jobs: int) -> list[str]:
    figures = (spent.wall, spent.epochs, spent.outside)
    return [name, str(spent.processes), *(f"{one:.0f}" for one in figures), f"{spent.outside / jobs:.1f}"]


if __name__ == "__main__":
    main()
