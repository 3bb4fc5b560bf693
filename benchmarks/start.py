"""How long a training of many pictures takes to its first batch, when it starts first and again, and its peak memory.

    python benchmarks/start.py --pictures 1000 10000 100000 --folder /tmp/many

makes the pictures there, small JPEGs of coloured blocks in ten classes, unless they are there already. Then it runs
`train.py` on them twice, with a home of its own, and stops it after some steps.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import process

CLASSES, BLOCKS = 10, 8
STARTS = ("first", "second")
TRAINING = ["strategy=finetune", "backbone=efficientnet_lite0", "backbone.weights=null", "data.batch_size=16"]


def make(folder: Path, count: int, side: int) -> None:
    """``count`` JPEGs of ``side`` pixels in ``folder``; a folder that is there is taken to be whole."""
    if folder.is_dir():
        return
    beside = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(beside, ignore_errors=True)
    for label in range(CLASSES):
        (beside / f"class{label}").mkdir(parents=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda number: _draw(beside, number, side), range(count)):
            pass
    beside.rename(folder)


def _draw(folder: Path, number: int, side: int) -> None:
    import numpy as np
    from PIL import Image

    blocks = np.random.default_rng(number).integers(0, 256, (BLOCKS, BLOCKS, 3), np.uint8)
    picture = Image.fromarray(blocks).resize((side, side), Image.Resampling.NEAREST)
    picture.save(folder / f"class{number % CLASSES}" / f"{number:07d}.jpg", quality=75)


def start(pictures: Path, steps: int, scratch: Path) -> tuple[float, process.Process]:
    """Seconds from the command to its first batch, and the command, which ended after so many steps."""
    noted = scratch / "first.json"
    words = [*TRAINING, "data=folder", f"data.root={pictures}", f"hydra.run.dir={scratch}/run", "~callbacks.pictures"]
    words += ["+callbacks.stop._target_=benchmarks.first_batch.FirstBatch", f"+callbacks.stop.path={noted}"]
    words += [f"+callbacks.stop.steps={steps}", "trainer.enable_progress_bar=false"]
    done = process.run([sys.executable, "train.py", *words])
    shutil.rmtree(scratch / "run", ignore_errors=True)
    if done.error:
        sys.exit(done.error)
    return json.loads(noted.read_text())["first"] - done.started, done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--side", type=int, default=128, help="pixels")
    parser.add_argument("--steps", type=int, default=50, help="after which a training is stopped")
    parser.add_argument("--folder", type=Path, help="where the pictures are kept; else they are made anew")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print("| pictures | start | seconds to the first batch | peak memory, GB |\n|---|---|---|---|", flush=True)
        for count in options.pictures:
            os.environ["HYMTL_HOME"] = f"{scratch}/home-{count}"
            pictures = (options.folder or Path(scratch)) / f"{count}-of-{options.side}"
            make(pictures, count, options.side)
            for name in STARTS:
                seconds, done = start(pictures, options.steps, Path(scratch))
                print(f"| {count:,} | {name} | {seconds:.1f} | {done.peak_gb:.2f} |", flush=True)


if __name__ == "__main__":
    main()
