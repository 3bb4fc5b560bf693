"""How honest the confidence of every strategy is, before and after one temperature.

    python benchmarks/calibration.py --photos DIR --weights STATE_DICT

Each strategy runs as `python train.py`, everything at its default but the photos, the weights and the epochs. Expected
calibration errors of the validation photos as ``result.json`` has them: after by temperatures fitted on one half of the
photos and measured on the other. Markdown on stdout, progress on stderr.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import process, tables  # noqa: E402
from benchmarks.given import facts  # noqa: E402
from benchmarks.recipes import python, quoted  # noqa: E402

# Training on pictures takes a core's patience.
EPOCHS = {
    "finetune": 2, "frozen": 5, "quantized": 5, "qat": 2, "ptq": 2, "partial": 3, "gradual": 4, "scratch": 2,
}  # fmt: skip
HEAD = (
    "strategy (epochs)",
    "network",
    "accuracy",
    "temperature",
    "ECE before",
    "ECE after",
    "unsure below 0.8",
    "right of the rest",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder that holds train/CLASS/ and val/CLASS/")
    parser.add_argument("--weights", type=Path, required=True, help="a float state dict of resnet18")
    parser.add_argument("--strategies", default=",".join(EPOCHS))
    options = parser.parse_args()
    rows = []
    for strategy in options.strategies.split(","):
        with tempfile.TemporaryDirectory() as folder:
            result = ran(strategy, options, Path(folder) / "run")
        rows += [row(f"{strategy} ({EPOCHS[strategy]})", name, result) for name in result["calibration"]]
    known = facts(options.photos, "resnet18", str(options.weights))
    print(*(f"- {name}: {value}" for name, value in known.items()), "", sep="\n")
    print(tables.table(HEAD, rows))


def ran(strategy: str, options: argparse.Namespace, run: Path) -> dict:
    """The result of a run of one strategy."""
    words = ["data=folder", f"data.root={quoted(options.photos.resolve())}", "backbone=resnet18"]
    if strategy != "scratch":
        words.append(f"backbone.weights={quoted(options.weights.resolve())}")
    words += [f"strategy={strategy}", f"epochs={EPOCHS[strategy]}", "trainer.accelerator=cpu", "~callbacks.pictures"]
    done = process.run(python("train.py", *words, f"hydra.run.dir={quoted(run)}"), ROOT)
    if done.error:
        raise SystemExit(done.error)
    result = json.loads((run / "result.json").read_text())
    print(strategy, json.dumps(result["calibration"]), file=sys.stderr, flush=True)
    return result


def row(title: str, name: str, result: dict) -> list[str]:
    """One network of a run: what is deployed, or what it was before int8."""
    made = result["calibration"][name]
    deployed = name == list(result["calibration"])[-1]
    accuracy = (result["int8_cost"] or {"val_acc": {}})["val_acc"].get(name, result["best"]["val_acc"])
    at = next(one for one in result["unsure"] if one["below"] == 0.8)
    rest = [f"{at['photos']}", f"{at['right']} of {at['rest']}"] if deployed else ["", ""]
    errors = [f"{made[key]:.4f}" for key in ("ece_before", "ece_after")]
    return [title, name.replace("_", "-"), f"{accuracy:.4f}", f"{made['temperature']:.2f}", *errors, *rest]


if __name__ == "__main__":
    main()
