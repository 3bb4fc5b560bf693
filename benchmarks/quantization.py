"""What int8 costs, by engine, observer and backbone: eager mode's `post_training` against the float backbone.

    python benchmarks/quantization.py --photos DIR --resnet18-weights STATE_DICT --out quantization.md
    python benchmarks/quantization.py --quick                  # drawn pictures: does it still run?

Calibrated on 64 training photos and on nothing else. Cosines are between the int8 and the float features of each
validation photo. The accuracies are of one linear head, trained by logistic regression on the float features of the
training photos in their centre crop: on float features, and the same head on int8 ones. Markdown on stdout.
"""

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from benchmarks import tables  # noqa: E402
from benchmarks.given import facts  # noqa: E402
from hymtl.backbones import pretrained  # noqa: E402
from hymtl.backbones.pretrained import Pretrained  # noqa: E402
from hymtl.data import drawn  # noqa: E402
from hymtl.data.batches import PictureBatches  # noqa: E402
from hymtl.data.sources import find_photos  # noqa: E402
from hymtl.quantization import eager  # noqa: E402

BACKBONES = ("resnet18", "efficientnet_lite0")
ENGINES = ("onednn", "x86", "fbgemm")
OBSERVERS = {
    "histogram": eager.HistogramObserver,
    "minmax": eager.ao.MinMaxObserver,
    "moving-average": eager.ao.MovingAverageMinMaxObserver,
}
OURS = ("histogram", "on")  # what post_training does when nobody interferes
HEAD = ("backbone", "engine", "observer", "bias correction", "cosine: mean", "min", "accuracy: float", "int8",
        "int8 / float bytes", "s to quantize")  # fmt: skip


@dataclass
class Float:
    """A float backbone on the photos: ``val`` (N, features) and the head that its training features gave."""

    pretrained: Pretrained
    data: PictureBatches
    val: Tensor
    labels: Tensor
    head: nn.Linear
    bytes: int

    def accuracy(self, features: Tensor) -> float:
        return (self.head(features).argmax(1) == self.labels).float().mean().item()


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        photos = options.photos or drawn.write(Path(folder) / "drawn", train=16, val=8)
        known = [f"- {name}: {value}" for name, value in facts(photos).items()]
        rows = []
        for name in options.backbones.split(","):
            weights = options.resnet18_weights if name == "resnet18" else "imagenet"
            reference = measure_float(pretrained.find(name, weights), photos)
            known.append(f"- {name}: weights sha256 {reference.pretrained.digest[:12]}")
            for combination in product(options.engines.split(","), options.observers.split(","), ("on", "off")):
                rows.append(row(reference, *combination))
                print(*rows[-1], file=sys.stderr, flush=True)
        report = "\n".join([
            *known,
            "",
            tables.table(HEAD, rows),
            "",
            "Bold: hymtl's own. Calibrated on 64 training photos; cosines and accuracies on the validation photos.",
        ])  # fmt: skip
    print(report)
    if options.out:
        options.out.write_text(report + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder that holds train/CLASS/ and val/CLASS/")
    parser.add_argument("--resnet18-weights", default="imagenet", help="a state dict, or imagenet, torchvision's")
    parser.add_argument("--backbones", default=",".join(BACKBONES))
    known = ",".join(engine for engine in ENGINES if engine in torch.backends.quantized.supported_engines)
    parser.add_argument("--engines", default=known)
    parser.add_argument("--observers", default=",".join(OBSERVERS))
    parser.add_argument("--quick", action="store_true", help="a few drawn pictures, one backbone, engine and observer")
    parser.add_argument("--out", type=Path, metavar="FILE.md")
    options = parser.parse_args()
    if options.quick:
        options.backbones, options.observers, options.engines = "efficientnet_lite0", "histogram", known.split(",")[0]
    elif not options.photos:
        parser.error("give --photos DIR, or --quick")
    return options


def measure_float(found: Pretrained, photos: Path) -> Float:
    # Of strategy=quantized: what the network is calibrated for is what it sees when it is deployed.
    as_deployed = {"augmentation": "none", "resize": 224, "batch_size": 16, "workers": 0}
    data = PictureBatches(find_photos("folder", str(photos)), found.backbone.preprocessing, **as_deployed)
    body = eager.fused(load(found))
    features, labels = extract(body, data.loader("train"))
    head = logistic_regression(features, labels, len(data.photos.classes))
    return Float(found, data, *extract(body, data.loader("val")), head, size(body))


def load(found: Pretrained) -> nn.Module:
    body = found.backbone.build()
    body.load_state_dict(found.state_dict())
    return body.eval()


@torch.no_grad()
def extract(body: nn.Module, loader) -> tuple[Tensor, Tensor]:
    """Features (N, width) and labels (N)."""
    batches = [(body(pictures), labels) for pictures, labels in loader]
    return tuple(torch.cat(part) for part in zip(*batches, strict=True))


def logistic_regression(features: Tensor, labels: Tensor, classes: int) -> nn.Linear:
    """A linear head by full-batch L-BFGS from zero, with a little weight decay: nothing random in it."""
    head = nn.Linear(features.shape[1], classes)
    nn.init.zeros_(head.weight), nn.init.zeros_(head.bias)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(head(features), labels) + 1e-3 * head.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return head.requires_grad_(False)


def row(reference: Float, engine: str, observer: str, correction: str) -> list[str]:
    body = load(reference.pretrained)
    calibration = list(reference.data.calibration_batches())
    began = time.monotonic()
    with swapped(observer, correction):
        int8 = eager.post_training(body, engine, calibration)
    took = time.monotonic() - began
    features, _ = extract(int8, reference.data.loader("val"))
    cosines = F.cosine_similarity(features, reference.val)
    names = (reference.pretrained.backbone.name, engine, observer, correction)
    ours = (observer, correction) == OURS and engine == eager.choose_engine()
    return [
        *(f"**{name}**" if ours else name for name in names),
        f"{cosines.mean():.4f}",
        f"{cosines.min():.4f}",
        f"{reference.accuracy(reference.val):.3f}",
        f"{reference.accuracy(features):.3f}",
        f"{size(int8) / reference.bytes:.3f}",
        f"{took:.1f}",
    ]


@contextmanager
def swapped(observer: str, correction: str) -> Iterator[None]:
    """post_training with another observer of activations, or without bias correction; its own otherwise."""
    if (observer, correction) == OURS:
        yield
        return
    calibration_qconfig, correct_bias = eager.calibration_qconfig, eager.correct_bias

    def qconfig(engine: str):
        own = calibration_qconfig(engine)
        reduce_range = eager.overflows(engine)
        return own._replace(activation=OBSERVERS[observer].with_args(reduce_range=reduce_range))

    def correct(*arguments) -> None:
        if correction == "on":
            correct_bias(*arguments)

    with mock.patch.multiple(eager, calibration_qconfig=qconfig, correct_bias=correct):
        yield


def size(body: nn.Module) -> int:
    """Bytes of the saved state dict."""
    buffer = io.BytesIO()
    torch.save(body.state_dict(), buffer)
    return buffer.getbuffer().nbytes


if __name__ == "__main__":
    main()
