"""The backbones by name. Adding one is one entry here (and one line in ``conf/backbone/``)."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from torch import nn
from torchvision.models import quantization as nets

from hymtl.backbones import efficientnet_lite
from hymtl.backbones.hub import hub_file
from hymtl.errors import HymtlError, did_you_mean

HOST = "https://download.pytorch.org/models/"  # torchvision's own, as its weights enums have it


@dataclass(frozen=True)
class Preprocessing:
    """What pretrained weights expect of a picture: it belongs to the weights, not to the dataset."""

    size: int = 224  # pixels, height and width of what the network sees
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)  # of RGB in [0, 1]
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"

    def as_dict(self) -> dict:
        """Plain types, as checkpoints and artifacts keep it."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Backbone:
    """A pretrained network without its classifier, in the variant that eager-mode int8 can quantize.

    ``build()`` gives it with random weights: normalized pictures (N, 3, H, W) to features (N, ``features``),
    float32. ``imagenet()`` gives the file of its ImageNet state dict, downloading it if need be; tensors
    whose names begin with one of ``classifier`` belong to the 1000-class head, and ``rename`` maps the other
    names to the network's. ``official_int8()`` gives torchvision's own int8 state dict, made for the engine
    ``official_engine``.
    """

    name: str
    features: int
    build: Callable[[], nn.Module]
    imagenet: Callable[[], Path]
    classifier: tuple[str, ...]
    rename: Callable[[str], str] = str
    preprocessing: Preprocessing = Preprocessing()
    official_int8: Callable[[], Path] | None = None
    official_engine: str | None = None


def _torchvision(name: str, cut: str, features: int, weights: str, int8: str, engine: str = "fbgemm") -> Backbone:
    """torchvision's quantizable network ``name`` with its last Linear layer, at the path ``cut``, taken out."""

    def build() -> nn.Module:
        network = getattr(nets, name)(weights=None, quantize=False)
        network.set_submodule(cut, nn.Identity())
        return network

    return Backbone(
        name,
        features,
        build,
        imagenet=partial(hub_file, HOST + weights),
        classifier=(f"{cut}.",),
        official_int8=partial(hub_file, HOST + "quantized/" + int8),
        official_engine=engine,
    )


_BACKBONES = (
    _torchvision("resnet18", "fc", 512, "resnet18-f37072fd.pth", "resnet18_fbgemm_16fa66dd.pth"),
    _torchvision("resnet50", "fc", 2048, "resnet50-0676ba61.pth", "resnet50_fbgemm_bf931d71.pth"),
    _torchvision(
        "mobilenet_v2", "classifier.1", 1280, "mobilenet_v2-b0353104.pth", "mobilenet_v2_qnnpack_37f702c5.pth", "qnnpack"
    ),
    _torchvision(
        "mobilenet_v3_large",
        "classifier.3",
        1280,
        "mobilenet_v3_large-8738ca79.pth",
        "mobilenet_v3_large_qnnpack-5bcacf28.pth",
        "qnnpack",
    ),
    _torchvision(
        "shufflenet_v2_x1_0", "fc", 1024, "shufflenetv2_x1-5666bf0f80.pth", "shufflenetv2_x1_fbgemm-1e62bb32.pth"
    ),
    Backbone(
        "efficientnet_lite0",
        efficientnet_lite.FEATURES,
        efficientnet_lite.EfficientNetLite0,
        imagenet=efficientnet_lite.weights_path,
        classifier=("_fc.",),
        rename=efficientnet_lite.rename,
        # With ImageNet's mean and std in their place, its 1000-class head loses 17 points (docs/backbones.md).
        preprocessing=Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bicubic"),
    ),
)
BACKBONES = {backbone.name: backbone for backbone in _BACKBONES}


def get(name: str) -> Backbone:
    """The backbone called ``name``.

    Raises:
        HymtlError: if there is none of that name.
    """
    if name not in BACKBONES:
        raise HymtlError(f"backbone.name={name} is unknown. {did_you_mean(name, BACKBONES)}")
    return BACKBONES[name]
