"""Artifacts of small or untrained networks, made in seconds, and pictures to show them."""

from pathlib import Path

import torch
from torch import nn

from hymtl import backbones, strategies
from hymtl.deploy import artifact

CLASSES = ["ants", "bees", "wasps"]


def made(folder: Path, strategy: str, backbone: str, *, gain: float = 1.0, **options: object) -> Path:
    """A run's folder with the artifact of a network that was not trained, but tells pictures apart a little.

    ``gain`` is that of its batch norms: with 3, ReLU6 has something to cut off.
    """
    torch.manual_seed(0)
    chosen, entry = strategies.create(name=strategy, **options), backbones.get(backbone)
    expected = entry.preprocessing
    pictures = torch.randn(8, expected.channels, expected.size, expected.size)
    float_network = strategies.create(name="finetune").build(entry, len(CLASSES))
    for norm in filter(lambda module: isinstance(module, nn.BatchNorm2d), float_network.modules()):
        nn.init.constant_(norm.weight, gain)
    with torch.no_grad():
        float_network.train()(pictures)  # gives its batch norms statistics
    network = float_network.eval()
    with torch.no_grad():
        network.head.weight.mul_(20)  # or all pictures would be as good as the same to it
    if chosen.quantizes:
        network.backbone = chosen.quantization.post_training(network.backbone, chosen.engine, [pictures])
    facts = {
        "backbone": backbone, "strategy": chosen.spec(), "classes": CLASSES, "resize": expected.size + 32,
        "sources": {"dataset": {"digest": "d" * 64}, "backbone": {"digest": "b" * 64}},
    }  # fmt: skip
    artifact.save(folder / "artifact", network, facts, {"val_acc": 0.5})
    return folder
