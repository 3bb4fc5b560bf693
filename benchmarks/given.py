"""What a benchmark takes as given, made before any clock runs: pictures, the int8 backbone, facts of the machine.

It prints the facts as one line of JSON, the last.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from hymtl import quantization  # noqa: E402
from hymtl.backbones import pretrained  # noqa: E402
from hymtl.data import drawn  # noqa: E402
from hymtl.data.batches import PictureBatches  # noqa: E402
from hymtl.data.sources import find_photos  # noqa: E402
from hymtl.runtime import available_cores  # noqa: E402

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "pillow")


def facts(
    photos: Path | None = None, backbone: str | None = None, weights: str | None = None, source: str = "folder"
) -> dict:
    """The machine, the versions and, with digests, the photos and weights, by the names they are printed with.

    ``photos`` are read as ``data=SOURCE data.root=PHOTOS`` reads them.
    """
    known = {
        "CPU": cpu("model name") or platform.processor(),
        "cores usable": available_cores(),
        "flags": " ".join(flag for flag in FLAGS if flag in cpu("flags").split()) or "none of ours",
        "convolutions, GFLOP/s": f"{gflops(torch.float32):.0f} in float32, {gflops(torch.bfloat16):.0f} in bfloat16",
        "threads of torch": f"{torch.get_num_threads()} (OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')})",
        "versions": ", ".join([f"Python {platform.python_version()}", *(f"{p} {version(p)}" for p in PACKAGES)]),
        "hymtl": commit(),
    }
    if photos:
        folder = find_photos(source, str(photos))
        counts = ", ".join(f"{len(split)} {name}" for name, split in folder.splits.items())
        known["photos"] = f"{counts}, sha256 {folder.digest[:12]}"
    if backbone:
        found = pretrained.find(backbone, weights)
        known["backbone"] = f"{backbone}, weights sha256 {(found.digest or 'none: random')[:12]}"
    return known


@torch.no_grad()
def gflops(dtype: torch.dtype) -> float:
    """The most that a convolution reaches here, of ResNet's 3 x 3: the limit of whatever is built of them.

    ResNet-18 takes 3.6 GFLOP for a photo forward and 10.6 for a training step, 2 for a multiplication and addition.
    """
    best = 0.0
    for channels, size in ((64, 56), (128, 28), (256, 14)):
        layer = torch.nn.Conv2d(channels, channels, 3, padding=1, bias=False).to(dtype)
        pictures = torch.randn(32, channels, size, size, dtype=dtype).to(memory_format=torch.channels_last)
        layer(pictures)
        for _ in range(5):
            began = time.perf_counter()
            layer(pictures)
            best = max(best, 2 * 9 * channels**2 * size**2 * 32 / (time.perf_counter() - began) / 1e9)
    return best


def cpu(field: str) -> str:
    """A field of the first CPU in /proc/cpuinfo; empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(field)), "")


def commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    return f"commit {git('rev-parse', '--short', 'HEAD') or 'unknown'}{' and changes' if git('diff', 'HEAD') else ''}"


def save_int8(photos: Path, backbone: str, weights: str | None, engine: str, file: Path) -> None:
    """The backbone as strategy=quantized calibrates it."""
    found = pretrained.find(backbone, weights)
    body = found.backbone.build()
    if weights:
        body.load_state_dict(found.state_dict())
    data = PictureBatches(find_photos("folder", str(photos)), found.backbone.preprocessing, resize=224)
    torch.save(quantization.choose("eager").post_training(body, engine, data.calibration_batches()).state_dict(), file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--draw", action="store_true", help="draw a few pictures there first")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--weights")
    parser.add_argument("--int8", type=Path, help="where to write the int8 backbone's state dict")
    options = parser.parse_args()
    if options.draw:
        drawn.write(options.photos, train=8, val=4)
    engine = quantization.choose("eager").choose_engine()
    if options.int8:
        save_int8(options.photos, options.backbone, options.weights, engine, options.int8)
    print(json.dumps({"facts": facts(options.photos, options.backbone, options.weights), "engine": engine}))


if __name__ == "__main__":
    main()
