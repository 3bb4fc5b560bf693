"""hymtl's recipes against the tutorials' plain loops, on the same photos and the same machine, taking turns.

    python benchmarks/recipes.py --photos DIR --weights STATE_DICT --rounds 3 --out recipes.md
    python benchmarks/recipes.py --photos DIR --weights STATE_DICT --to-accuracy 0.94 --rounds 3
    python benchmarks/recipes.py --quick --recipes frozen        # drawn pictures, one epoch: does it still run?

Each run is a process of its own: `benchmarks/tutorial.py`, then `train.py` with everything at its default but the
photos, the weights, the strategy, the CPU and `benchmarks/stopwatch.py` among its callbacks. On the CPU only.
"""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import process, tables  # noqa: E402  (neither imports torch: see process)

# The tutorial's loop, and hymtl's settings; frozen's tutorial lets batch norm move, which hymtl does when asked to.
RECIPES = {
    "finetune": ("finetune", ["strategy=finetune"]),
    "frozen": ("frozen", ["strategy=frozen"]),
    "frozen-moving": ("frozen", ["strategy=frozen", "strategy.batch_norm=moving"]),
    "quantized": ("quantized", ["strategy=quantized", "strategy.source=calibrated"]),
    "qat": ("qat", ["strategy=qat"]),
}
EPOCHS = 25  # of the recipes
RUN_IN_FULL = ("frozen", "quantized")  # by hymtl: what it computes once is paid for by all epochs together
PRECISIONS = {"default": [], "32": ["trainer.precision=32-true"], "bf16": ["trainer.precision=bf16-mixed"]}
PEERS = ("finetune", "frozen")  # the recipes that benchmarks/peers.py knows
COMMANDS = ("backbone=efficientnet_lite0 strategy=frozen", "backbone=resnet18 strategy=frozen", "backbone=resnet18")


@dataclass
class Run:
    """One process: ``loop`` is "tutorial", "hymtl", with the precision if one was asked for, or a peer's name.

    The others are as in process.Process.
    """

    recipe: str
    loop: str
    started: float
    ended: float
    peak_gb: float
    error: str | None
    record: dict | None


def main() -> int:
    options = arguments()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        given = prepare(options, Path(folder))
        report = [tables.environment(given["facts"], load)]
        print(report[0], flush=True)
        alone: list[dict] = []
        runs = compare(options, Path(folder), alone)
        races = race(options, Path(folder))
    report += tables.recipes(runs, EPOCHS, alone) if runs else []
    report += [tables.races(races, options.to_accuracy, options.rounds)] if races else []
    report += [tables.busy(load)] if tables.busy(load) else []
    print("\n" + "\n\n".join(report[1:]))
    if options.out:
        write(options.out, report, given["facts"] | {"load average": load}, runs + races)
    return 1 if any(run.error for run in runs + races) else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder that holds train/CLASS/ and val/CLASS/")
    parser.add_argument("--weights", help="a float state dict of the backbone; else random weights")
    parser.add_argument("--backbone", choices=("resnet18", "resnet50"), default="resnet18")
    parser.add_argument("--recipes", help=f"of {','.join(RECIPES)}; else all, or none with --to-accuracy")
    parser.add_argument("--epochs", type=int, default=2, help="to measure; 25 leaves nothing to extrapolate")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--precision", default="default", help=f"of hymtl, one or more of {','.join(PRECISIONS)}")
    parser.add_argument("--peers", default="", help="beside them: lightning (plain), fastai where it is installed")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting more for hymtl")
    parser.add_argument("--to-accuracy", type=float, help="seconds to this validation accuracy, at most 25 epochs")
    parser.add_argument("--command", action="append", metavar="WORDS", help="what races for it, in place of our three")
    parser.add_argument("--quick", action="store_true", help="a few drawn pictures, random weights, one epoch")
    parser.add_argument("--out", type=Path, help="FILE.md: what was printed; FILE.json: every run's times")
    options = parser.parse_args()
    if options.quick:
        options.epochs = options.rounds = 1
        options.set.append("~callbacks.pictures")  # drawing them takes longer than all the rest
    elif not options.photos:
        parser.error("give --photos DIR, or --quick")
    chosen = "" if options.to_accuracy else ",".join(RECIPES)
    options.recipes = choices(parser, "--recipes", chosen if options.recipes is None else options.recipes, RECIPES)
    options.peers = choices(parser, "--peers", options.peers, {"lightning": None, "fastai": None})
    options.precision = choices(parser, "--precision", options.precision, PRECISIONS)
    return options


def choices(parser: argparse.ArgumentParser, name: str, words: str, known: dict) -> list[str]:
    chosen = [word for word in words.split(",") if word]
    for word in chosen:
        if word not in known:
            parser.error(f"{name}: {word} is none of {', '.join(known)}")
    return chosen


def prepare(options: argparse.Namespace, folder: Path) -> dict:
    """Everything that no clock should see; paths of ``options`` become whole, as runs start from the root."""
    options.photos = (options.photos or folder / "pictures").resolve()
    options.weights = str(Path(options.weights).resolve()) if options.weights else None
    words = ["benchmarks/given.py", "--photos", options.photos, "--backbone", options.backbone]
    words += ["--weights", options.weights] if options.weights else []
    words += ["--draw"] if options.quick and not any(options.photos.glob("*")) else []
    words += ["--int8", folder / "int8.pt"] if "quantized" in options.recipes else []
    made = process.run(python(*words))
    if made.error:
        raise SystemExit(made.error)
    given = json.loads(made.said.splitlines()[-1])
    options.engine = given["engine"]
    return given


def compare(options: argparse.Namespace, folder: Path, alone: list[dict]) -> list[Run]:
    """All runs, taking turns; each round adds to ``alone`` what the convolutions of each recipe take by themselves."""
    runs = []
    for turn in range(options.rounds):
        if options.recipes:
            alone.append(convolutions(options))
        for recipe in options.recipes:
            commands = {"tutorial": tutorial(options, recipe, folder)}
            for precision in options.precision:
                if recipe != "quantized" or precision != "bf16":  # an int8 backbone knows no bf16
                    name = "hymtl" if precision == "default" else f"hymtl {precision}"
                    commands[name] = hymtl(options, recipe, PRECISIONS[precision], folder / "run")
            for peer in options.peers if recipe in PEERS else []:
                commands[peer] = python("benchmarks/peers.py", peer, *tutorial(options, recipe, folder)[2:])
            for name, command in commands.items():
                runs.append(measure(recipe, name, command, folder))
                say(runs[-1], f"round {turn + 1}")
    return runs


def convolutions(options: argparse.Namespace) -> dict[str, float]:
    """Seconds an epoch, by recipe and type."""
    counts = [str(len(list((options.photos / split).glob("*/*.[jJpP]*")))) for split in ("train", "val")]
    words = ["--backbone", options.backbone, "--train", counts[0], "--val", counts[1]]
    done = process.run(python("benchmarks/convolutions.py", *words))
    if done.error:
        raise SystemExit(done.error)
    return json.loads(done.said.splitlines()[-1])


def tutorial(options: argparse.Namespace, recipe: str, folder: Path) -> list[str]:
    words = ["benchmarks/tutorial.py", RECIPES[recipe][0], "--photos", options.photos, "--backbone", options.backbone]
    words += ["--weights", options.weights] if options.weights else []
    words += ["--int8", folder / "int8.pt", "--engine", options.engine] if recipe == "quantized" else []
    return python(*words, "--epochs", options.epochs, "--record", folder / "record.json")


def hymtl(options: argparse.Namespace, recipe: str, precision: list[str], run: Path) -> list[str]:
    epochs = EPOCHS if recipe in RUN_IN_FULL and not options.quick else options.epochs
    words = [f"backbone={options.backbone}", weights(options), f"epochs={epochs}", *RECIPES[recipe][1], *precision]
    return train(options, words, run)


def train(options: argparse.Namespace, words: list[str], run: Path) -> list[str]:
    timed = watched(options, quoted(run.parent / "record.json"))
    return python("train.py", *timed, f"hydra.run.dir={quoted(run)}", *words, *options.set)


def watched(options: argparse.Namespace, times: str) -> list[str]:
    """What has hymtl train on the photos of ``options``, on the CPU, and leave its times in the file ``times``."""
    stopwatch = ["_target_=benchmarks.stopwatch.Stopwatch", f"path={times}"]
    photos = ["data=folder", f"data.root={quoted(options.photos)}", "trainer.accelerator=cpu"]
    return [*photos, *(f"+callbacks.stopwatch.{word}" for word in stopwatch)]


def race(options: argparse.Namespace, folder: Path) -> list[Run]:
    """Commands that end as soon as they validate with ``options.to_accuracy``; the rounds take turns."""
    runs = []
    for turn in range(options.rounds if options.to_accuracy else 0):
        for command in options.command or COMMANDS:
            words = command.split()
            if f"backbone={options.backbone}" in words and "backbone.weights" not in command:
                words.append(weights(options))
            words.append(f"+callbacks.stopwatch.stop_at={options.to_accuracy}")
            if options.quick:
                words.append("epochs=1")
            runs.append(measure(command, "hymtl", train(options, words, folder / "run"), folder))
            say(runs[-1], f"round {turn + 1}")
    return runs


def measure(recipe: str, loop: str, command: list[str], folder: Path) -> Run:
    record = folder / "record.json"
    record.unlink(missing_ok=True)
    done = process.run(command)
    for file in (folder / "run").glob("checkpoints/*"):  # gigabytes, after 50 runs
        file.unlink()
    times = json.loads(record.read_text()) if record.exists() and not done.error else None
    return Run(recipe, loop, done.started, done.ended, done.peak_gb, done.error, times)


def say(run: Run, turn: str) -> None:
    """Progress, on stderr: the tables on stdout may be on their way to a file."""
    outcome = f"FAILED: {run.error}" if run.error else f"{run.ended - run.started:.1f} s, {run.peak_gb:.2f} GB"
    print(f"{turn}, {run.recipe}, {run.loop}: {outcome}", file=sys.stderr, flush=True)


def weights(options: argparse.Namespace) -> str:
    return f"backbone.weights={quoted(options.weights) if options.weights else 'null'}"


def quoted(path: Path | str) -> str:
    """As Hydra wants values of which it should interpret nothing."""
    return "'" + str(path).replace("'", "\\'") + "'"


def python(*words: object) -> list[str]:
    return [sys.executable, *map(str, words)]


def write(file: Path, report: list[str], facts: dict, runs: list[Run]) -> None:
    if file.suffix == ".json":
        file.write_text(json.dumps({"environment": facts, "runs": [asdict(run) for run in runs]}, indent=1))
    else:
        file.write_text("\n\n".join(report) + "\n")


if __name__ == "__main__":
    sys.exit(main())
