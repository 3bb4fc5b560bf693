"""The float network of an artifact: its own, or of an int8 one the network that it rounds."""

from hymtl import backbones, strategies
from hymtl.deploy.artifact import Artifact
from hymtl.network import Classifier
from hymtl.strategy import Int8, as_fixed


def float_network(loaded: Artifact) -> Classifier:
    """In eval mode, on the CPU, fused; what of an int8 network's error comes from its weights is in it too."""
    strategy = strategies.create(**loaded.strategy)
    body = loaded.network.backbone
    if not isinstance(strategy, Int8):
        return Classifier(as_fixed(body), loaded.network.head).eval()
    twin = strategy.quantization.as_float(body, backbones.get(loaded.backbone).build())
    return Classifier(twin, loaded.network.head).eval()
