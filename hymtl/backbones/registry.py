"""The backbones by name. Adding one is one entry here (and one line in ``conf/backbone/``)."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from torch import nn
from torchvision.models import quantization as nets

from hymtl.backbones import efficientnet_lite, garment_cnn
from hymtl.backbones.hub import hub_file
from hymtl.download import DownloadError
from hymtl.errors import HymtlError, did_you_mean

HOST = "https://download.pytorch.org/models/"  # torchvision's own, as its weights enums have it


@dataclass(frozen=True)
class Preprocessing:
    """What pretrained weights expect of a picture: it belongs to the weights, not to the dataset."""

    size: int = 224  # pixels, height and width of what the network sees
    channels: int = 3  # 3 for RGB, 1 for grey
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
    float32. ``stages`` names its modules from the input on, a stage for each resolution.
    ``imagenet()`` gives the file of its ImageNet state dict, downloading it if need be; tensors
    whose names begin with one of ``classifier`` belong to the 1000-class head, and ``rename`` maps the other
    names to the network's. ``official_int8()`` gives torchvision's own int8 state dict, made for the engine
    ``official_engine``.
    """

    name: str
    features: int
    build: Callable[[], nn.Module]
    imagenet: Callable[[], Path]
    classifier: tuple[str, ...]
    stages: tuple[tuple[str, ...], ...]
    rename: Callable[[str], str] = str
    preprocessing: Preprocessing = Preprocessing()
    official_int8: Callable[[], Path] | None = None
    official_engine: str | None = None
    quantizable: bool = True
    # While the whole network trains: "train", or "eval", the statistics of pretraining kept.
    batch_norm: str = "train"


def _torchvision(
    name: str,
    cut: str,
    features: int,
    stages: tuple[tuple[str, ...], ...],
    weights: str,
    int8: str,
    engine: str = "fbgemm",
) -> Backbone:
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
        stages=stages,
        official_int8=partial(hub_file, HOST + "quantized/" + int8),
        official_engine=engine,
    )


def _numbered(prefix: str, *bounds: int) -> tuple[tuple[str, ...], ...]:
    """Stages of a Sequential: its children ``bounds[i]`` up to, but not including, ``bounds[i + 1]``."""
    return tuple(tuple(f"{prefix}.{n}" for n in range(a, b)) for a, b in zip(bounds, bounds[1:], strict=False))


def _none() -> Path:
    raise DownloadError("there are no ImageNet weights of this network")


_RESNET = (("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",))
_MOBILENET_V2 = _numbered("features", 0, 2, 4, 7, 14, 19)
_MOBILENET_V3 = _numbered("features", 0, 2, 4, 7, 13, 17)
_LITE_BLOCKS = _numbered("blocks", 0, 1, 3, 5, 11, 16)
_BACKBONES = (
    _torchvision("resnet18", "fc", 512, _RESNET, "resnet18-f37072fd.pth", "resnet18_fbgemm_16fa66dd.pth"),
    _torchvision("resnet50", "fc", 2048, _RESNET, "resnet50-0676ba61.pth", "resnet50_fbgemm_bf931d71.pth"),
    _torchvision(
        "mobilenet_v2",
        "classifier.1",
        1280,
        _MOBILENET_V2,
        "mobilenet_v2-b0353104.pth",
        "mobilenet_v2_qnnpack_37f702c5.pth",
        "qnnpack",
    ),
    _torchvision(
        "mobilenet_v3_large",
        "classifier.3",
        1280,
        (*_MOBILENET_V3[:-1], (*_MOBILENET_V3[-1], "classifier.0")),
        "mobilenet_v3_large-8738ca79.pth",
        "mobilenet_v3_large_qnnpack-5bcacf28.pth",
        "qnnpack",
    ),
    _torchvision(
        "shufflenet_v2_x1_0",
        "fc",
        1024,
        (("conv1",), ("stage2",), ("stage3",), ("stage4", "conv5")),
        "shufflenetv2_x1-5666bf0f80.pth",
        "shufflenetv2_x1_fbgemm-1e62bb32.pth",
    ),
    Backbone(
        "efficientnet_lite0",
        efficientnet_lite.FEATURES,
        efficientnet_lite.EfficientNetLite0,
        imagenet=efficientnet_lite.weights_path,
        classifier=("_fc.",),
        stages=(("stem", *_LITE_BLOCKS[0]), *_LITE_BLOCKS[1:-1], (*_LITE_BLOCKS[-1], "head")),
        rename=efficientnet_lite.rename,
        # TensorFlow's preprocessing, which these weights were trained with, not ImageNet's usual mean and std.
        preprocessing=Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bicubic"),
        # Chosen on the hymenoptera photos, one seed: in train mode finetuning and qat came out lower.
        batch_norm="eval",
    ),
    Backbone(
        "garment_cnn",
        garment_cnn.FEATURES,
        garment_cnn.GarmentCNN,
        imagenet=_none,
        classifier=(),
        stages=(("0", "3"), ("7", "9")),
        preprocessing=Preprocessing(size=28, channels=1, mean=(0.5,), std=(0.5,)),
        quantizable=False,
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
