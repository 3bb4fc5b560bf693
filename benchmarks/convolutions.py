"""The convolutions of each recipe timed alone: what an epoch would take if nothing else cost anything.

    python benchmarks/convolutions.py --backbone resnet18 --train 244 --val 153

Each convolution of the backbone runs by itself, on inputs of the shapes, batch, type and memory format that the recipe
gives it, forward, and where the recipe trains it backward too (the first one to its weights alone). The median of
REPEATS, summed over layers, times the photos of an epoch. Weights are random: time does not depend on them. It prints
one line of JSON, seconds an epoch by recipe and type.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from hymtl import quantization  # noqa: E402
from hymtl.backbones import get  # noqa: E402
from hymtl.data.batches import EVALUATION_BATCH  # noqa: E402
from hymtl.features.batches import BATCH  # noqa: E402

REPEATS = 7
# Of an epoch: training photos by the batch they go through the backbone in, whether it trains, and whether validation
# photos go through it too, where what a fixed backbone gave for them is not kept.
EPOCHS = {
    "finetune": (4, True, True),
    "frozen": (BATCH, False, False),
    "frozen-moving": (4, False, True),
    "qat": (16, True, True),
}


def main() -> None:
    options = arguments()
    known = get(options.backbone)
    size = known.preprocessing.size
    body = known.build().to(memory_format=torch.channels_last)
    seconds = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        body.to(dtype)
        for recipe, (batch, trains, validates) in EPOCHS.items():
            training = each(body, batch, size, trains=trains, dtype=dtype)
            validation = each(body, EVALUATION_BATCH, size, trains=False, dtype=dtype) if validates else 0.0
            seconds[f"{recipe} {name}"] = options.train * training + options.val * validation
    int8 = quantized(known.build(), size)
    seconds["quantized float32"] = options.train * each(int8, BATCH, size, trains=False, dtype=torch.float32)
    print(json.dumps(seconds))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--train", type=int, default=244, help="training photos")
    parser.add_argument("--val", type=int, default=153, help="validation photos")
    return parser.parse_args()


def quantized(body: nn.Module, size: int) -> nn.Module:
    """The int8 backbone, calibrated on noise."""
    quantizer = quantization.choose("eager")
    return quantizer.post_training(body, quantizer.choose_engine(), [torch.randn(8, 3, size, size)])


def each(body: nn.Module, batch: int, size: int, *, trains: bool, dtype: torch.dtype) -> float:
    """Seconds that the convolutions take for one photo."""
    seen = inputs(body.eval(), torch.randn(batch, 3, size, size, dtype=dtype))
    total = 0.0
    for place, (layer, given) in enumerate(seen):
        run = training(layer, given, to_input=place > 0) if trains else evaluation(layer, given)
        total += middle(run)
    return total / batch


@torch.no_grad()
def inputs(body: nn.Module, pictures: Tensor) -> list[tuple[nn.Module, Tensor]]:
    """Each convolution, float or int8, with what it is given, in the order in which they run."""
    seen: list[tuple[nn.Module, Tensor]] = []
    convolutions = [module for module in body.modules() if type(module).__name__.startswith(("Conv2d", "ConvReLU2d"))]
    hooks = [
        layer.register_forward_pre_hook(lambda layer, given: seen.append((layer, given[0]))) for layer in convolutions
    ]
    body(pictures.contiguous(memory_format=torch.channels_last))
    for hook in hooks:
        hook.remove()
    return seen


def evaluation(layer: nn.Module, given: Tensor) -> Callable[[], object]:
    def run() -> object:
        with torch.no_grad():
            return layer(given)

    return run


def training(layer: nn.Module, given: Tensor, *, to_input: bool) -> Callable[[], object]:
    given = given.detach().clone(memory_format=torch.preserve_format).requires_grad_(to_input)
    gradient = torch.randn_like(layer(given))

    def run() -> None:
        layer.zero_grad()
        layer(given).backward(gradient)

    return run


def middle(run: Callable[[], object]) -> float:
    """Median seconds, after two times to warm up."""
    times = []
    for _ in range(REPEATS + 2):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return median(times[2:])


if __name__ == "__main__":
    main()
