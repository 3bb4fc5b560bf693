"""torchvision's networks; where weights come from and what they expect is what its weights enums say.

Those that torchvision has in a variant that int8 can fuse are taken in that one: the same numbers in float.
"""

from functools import partial
from itertools import pairwise

from torch import nn
from torchvision import models
from torchvision.models import quantization

from hymtl.backbones.backbone import Backbone
from hymtl.backbones.hub import hub_file
from hymtl.preprocessing import Preprocessing

Stages = tuple[tuple[str, ...], ...]


def _numbered(prefix: str, *bounds: int) -> Stages:
    """Stages of a Sequential: its children ``bounds[i]`` up to, but not including, ``bounds[i + 1]``."""
    return tuple(tuple(f"{prefix}.{n}" for n in range(a, b)) for a, b in pairwise(bounds))


def _backbone(name: str, cut: str, features: int, stages: Stages) -> Backbone:
    """The network ``name`` with its last Linear layer, at the path ``cut``, taken out."""
    weights = next(iter(models.get_model_weights(name)))  # the oldest: the tutorials' own
    expected = weights.transforms()
    official = None
    if hasattr(quantization, name):
        official = partial(hub_file, next(iter(models.get_model_weights(f"quantized_{name}"))).url)
    return Backbone(
        name,
        features,
        partial(_build, name, cut),
        classifier=(f"{cut}.",),
        stages=stages,
        imagenet=partial(hub_file, weights.url),
        preprocessing=Preprocessing(
            size=expected.crop_size[0],
            mean=tuple(expected.mean),
            std=tuple(expected.std),
            interpolation=expected.interpolation.value,
        ),
        official_int8=official,
    )


def _build(name: str, cut: str) -> nn.Module:
    fusable = getattr(quantization, name, None)
    network = fusable(weights=None, quantize=False) if fusable else models.get_model(name, weights=None)
    network.set_submodule(cut, nn.Identity())
    return network


_RESNET = (("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",))
_MOBILENET_V3 = _numbered("features", 0, 2, 4, 7, 13, 17)

BACKBONES = (
    _backbone("resnet18", "fc", 512, _RESNET),
    _backbone("resnet50", "fc", 2048, _RESNET),
    _backbone("mobilenet_v2", "classifier.1", 1280, _numbered("features", 0, 2, 4, 7, 14, 19)),
    _backbone("mobilenet_v3_large", "classifier.3", 1280, (*_MOBILENET_V3[:-1], (*_MOBILENET_V3[-1], "classifier.0"))),
    _backbone("shufflenet_v2_x1_0", "fc", 1024, (("conv1",), ("stage2",), ("stage3",), ("stage4", "conv5"))),
)
