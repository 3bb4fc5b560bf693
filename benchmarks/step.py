"""Where the milliseconds of a training step go: convolutions, batch norm, ReLU, casts, optimizer.

    python benchmarks/step.py --photos DIR --weights STATE_DICT --strategies finetune,qat --precision 32,bf16

`train.py` runs with everything at its default but the photos, the weights, the strategy, the precision and two epochs;
torch's profiler watches steps in the middle of the second one. Times are of the main thread, each operation without
those inside it, so that they add up; the profiler itself makes a step some percent longer. Markdown on stdout.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import pytorch_lightning as pl

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from torch.profiler import ProfilerActivity, profile  # noqa: E402

from benchmarks import process, tables  # noqa: E402
from benchmarks.given import facts  # noqa: E402
from benchmarks.recipes import PRECISIONS, python, quoted  # noqa: E402

FIRST, LAST = 5, 12  # steps of the second epoch: 8 of 61, of qat's 16 fewer come before its last
# By parts of the names of torch's operations; the first that fits counts.
PARTS = {
    "convolutions": ("convolution",),
    "batch norm": ("batch_norm",),
    "ReLU": ("threshold", "relu", "clamp_min"),
    # A rounded activation passes its gradient on as a hardtanh would; ResNet-18 has no other.
    "fake-quant": ("quantize", "_Round", "aminmax", "hardtanh", "round", "clamp_", "where"),
    "pooling": ("pool",),
    "casts and copies": ("copy_", "_to_copy", "contiguous", "clone"),
    "addition, optimizer, clipping": ("add_", "mul_", "vector_norm", "Optimizer", "fill_", "zero_"),
}
REST = "all else"


class Profiled(pl.Callback):
    """Writes milliseconds a step, by part, to ``path``."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.profile = profile(activities=[ProfilerActivity.CPU])
        self.began = 0.0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, index: int
    ) -> None:
        if (trainer.current_epoch, index) == (1, FIRST):
            self.profile.start()
            self.began = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, index: int
    ) -> None:
        if (trainer.current_epoch, index) == (1, LAST):
            whole = time.monotonic() - self.began
            self.profile.stop()
            self.path.write_text(json.dumps(self._parts(whole)))

    def _parts(self, whole: float) -> dict[str, float]:
        found = dict.fromkeys([*PARTS, REST], 0.0)
        for event in self.profile.key_averages():
            part = next((part for part, names in PARTS.items() if any(name in event.key for name in names)), REST)
            found[part] += event.self_cpu_time_total / 1e3
        found[REST] = whole * 1e3 - sum(found[part] for part in PARTS)  # what is no operation of torch too
        return {part: spent / (LAST - FIRST + 1) for part, spent in found.items()}


def main() -> None:
    options = arguments()
    columns = [(strategy, precision) for strategy in options.strategies.split(",") for precision in options.precision]
    with tempfile.TemporaryDirectory() as folder:
        found = [measured(strategy, precision, options, Path(folder)) for strategy, precision in columns]
    for name, value in facts(options.photos, "resnet18", str(options.weights)).items():
        print(f"- {name}: {value}")
    rows = [[part, *(f"{times[part]:.1f}" for times in found)] for part in [*PARTS, REST]]
    rows.append(["together", *(f"{sum(times.values()):.1f}" for times in found)])
    print("\n" + tables.table(["ms a step", *(" ".join(column) for column in columns)], rows))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder that holds train/CLASS/ and val/CLASS/")
    parser.add_argument("--weights", type=Path, required=True, help="a float state dict of resnet18")
    parser.add_argument("--strategies", default="finetune,qat", help="those that train on pictures")
    parser.add_argument("--precision", type=lambda words: words.split(","), default=["32", "bf16"])
    return parser.parse_args()


def measured(strategy: str, precision: str, options: argparse.Namespace, folder: Path) -> dict[str, float]:
    times = folder / "step.json"
    words = [
        "data=folder", f"data.root={quoted(options.photos.resolve())}", "backbone=resnet18",
        f"backbone.weights={quoted(options.weights.resolve())}", f"strategy={strategy}", *PRECISIONS[precision],
        "epochs=2", "trainer.accelerator=cpu", "~callbacks.pictures", f"hydra.run.dir={quoted(folder / 'run')}",
        "+callbacks.step._target_=benchmarks.step.Profiled", f"+callbacks.step.path={quoted(times)}",
    ]  # fmt: skip
    done = process.run(python("train.py", *words))
    if done.error:
        raise SystemExit(done.error)
    return json.loads(times.read_text())


if __name__ == "__main__":
    main()
