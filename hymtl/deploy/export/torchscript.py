"""TorchScript: for torch in C++ and on phones that have it. torch deprecates it; the int8 network of quantizer eager is
kept as it is, kernels and all, in no other format."""

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hymtl.deploy.whole import Run, Whole, in_torch

FILE, RUNTIME, MODULES, RESIZES = "model.torchscript.pt", "torch.jit", (), True
_FACTS = "hymtl.json"


def obstacle(whole: Whole) -> str | None:
    """A graph of PT2E is made of operations that only Python defines."""
    return "what strategy.quantizer=pt2e made exists in Python only" if whole.quantizer == "pt2e" else None


def write(whole: Whole, file: Path, facts: Mapping[str, str], *, resize: int | None) -> None:
    """Trace the network; script what depends on a picture's size."""
    with _quietly(), torch.no_grad():
        script = torch.jit.trace(whole, whole.example(), check_trace=False)
        if resize:
            expected = whole.expected
            script = torch.jit.script(Resized(script, resize, expected.size, expected.interpolation))
        torch.jit.save(script, str(file), _extra_files={_FACTS: json.dumps(dict(facts))})


def run(file: Path, threads: int) -> Run:
    """On torch's threads, which are the whole process's."""
    with _quietly():
        network = torch.jit.load(str(file))
    torch.set_num_threads(threads)
    return in_torch(network)


def facts(file: Path) -> dict[str, str]:
    """What :func:`write` put beside the network."""
    found = {_FACTS: ""}
    with _quietly():
        torch.jit.load(str(file), _extra_files=found)
    return json.loads(found[_FACTS])


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without warnings that TorchScript is deprecated, and of sizes that are fixed on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Resized(nn.Module):
    """Scaling and cropping before the network, as :func:`hymtl.data.transforms.evaluation` does."""

    def __init__(self, network: nn.Module, resize: int, size: int, interpolation: str) -> None:
        super().__init__()
        self.network, self.resize, self.size, self.interpolation = network, resize, size, interpolation

    def forward(self, pictures: Tensor) -> Tensor:
        height, width = pictures.shape[-2], pictures.shape[-1]
        short = min(height, width)
        sides = [self.resize * height // short, self.resize * width // short]
        scaled = F.interpolate(pictures, sides, mode=self.interpolation, antialias=True)
        top, left = int(round((sides[0] - self.size) / 2)), int(round((sides[1] - self.size) / 2))  # noqa: RUF046
        return self.network(scaled[:, :, top : top + self.size, left : left + self.size])
