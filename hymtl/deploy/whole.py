"""A deployed network with what belongs before and after it, as exported files hold it."""

import json
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import torch
from torch import Tensor, nn

from hymtl.deploy.artifact import Artifact
from hymtl.network import Classifier
from hymtl.preprocessing import Preprocessing

# uint8 pictures (N, C, H, W) to probabilities (N, classes), float32: what another runtime makes of a file.
Run = Callable[[np.ndarray], np.ndarray]


class Whole(nn.Module):
    """Pictures as they are decoded, uint8 (N, C, size, size), to probabilities (N, classes), float32.

    Normalizing is inside, so that no one who uses the file can forget it or do it otherwise.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self, network: nn.Module, expected: Preprocessing, temperature: float, *, quantizer: str | None
    ) -> None:
        super().__init__()
        self.network, self.expected, self.temperature, self.quantizer = network, expected, temperature, quantizer
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (expected.mean, expected.std))
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("shift", mean / std)
        self.requires_grad_(False).eval()

    def forward(self, pictures: Tensor) -> Tensor:
        return (self.network(pictures.to(torch.float32) * self.scale - self.shift) / self.temperature).softmax(dim=1)

    def example(self) -> Tensor:
        """Two blank pictures: an exporter takes a batch of one for one of a fixed size."""
        return torch.zeros(2, self.expected.channels, self.expected.size, self.expected.size, dtype=torch.uint8)


def make(loaded: Artifact, network: Classifier) -> Whole:
    """The whole of an artifact, its ``network`` as it runs fastest.

    Of quantizer pt2e it is the reference graph, which says in float arithmetic what its int8 kernels compute: they
    are made at the first call and are no part of a graph that others could read.
    """
    quantizer = loaded.strategy.get("quantizer", "eager") if "engine" in loaded.strategy else None
    body = network.backbone.get_submodule("graph") if quantizer == "pt2e" else network.backbone
    return Whole(Classifier(body, network.head), loaded.preprocessing, loaded.temperature, quantizer=quantizer)


def in_torch(classify: Callable[[Tensor], Tensor]) -> Run:
    """What takes and gives tensors, as a runtime."""

    @torch.no_grad()
    def call(pictures: np.ndarray) -> np.ndarray:
        return classify(torch.from_numpy(pictures)).numpy()

    return call


def facts(loaded: Artifact, *, with_resize: bool) -> dict[str, str]:
    """What whoever uses an exported file must know, as its metadata: texts; lists and numbers as JSON."""
    expected, sources = loaded.preprocessing, loaded.sources
    size, kind = expected.size, "RGB" if expected.channels == 3 else "grey"
    sides = "height, width" if with_resize else f"{size}, {size}"
    before = (
        "nothing: any size, one size a batch"
        if with_resize
        else f"scale the shorter side to {loaded.resize} pixels, crop the {size} x {size} in the middle"
    )
    return {
        "classes": json.dumps(loaded.classes),
        "input": f"uint8 (pictures, {expected.channels}, {sides}), {kind}, 0 to 255",
        "output": "float32 (pictures, classes), probabilities",
        "before": before,
        "resize": json.dumps(loaded.resize),
        "crop": json.dumps(size),
        "interpolation": f"{expected.interpolation}, antialiased",
        "temperature": json.dumps(loaded.temperature),
        "backbone": loaded.backbone,
        "strategy": loaded.strategy["name"],
        "val_acc": json.dumps(loaded.scores.get("val_acc")),
        "data_sha256": str(sources.get("dataset", {}).get("digest")),
        "pretrained_sha256": str(sources.get("backbone", {}).get("digest")),
        "weights_sha256": loaded.digest,
        "hymtl": version("hymtl"),
    }


def staleness(found: dict[str, str], loaded: Artifact) -> str | None:
    """What keeps a file with the facts ``found`` from saying what the artifact says now, None if nothing does.

    All of them count: the same weights with another temperature, or other names of classes, say something else.
    """
    now = facts(loaded, with_resize=False)
    if found.get("before", "").startswith("nothing"):
        return "has resizing inside"
    other = [name for name, value in now.items() if name != "hymtl" and found.get(name) != value]
    return f"was not made from this artifact: {', '.join(other)} differ" if other else None
