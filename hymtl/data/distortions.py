"""Changes of colour and shape after the crop: torchvision's ColorJitter and RandAugment, drawn from a generator.

torchvision's own draw from torch's one global random state; these draw from the generator of the picture, so that
neither threads, nor workers, nor resuming change a run. Pictures are uint8 (C, H, W) and keep their size.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Generator, Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

Distortion = Literal["colour_jitter", "rand_augment"]
STRENGTH = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}  # of colour jitter
OPERATIONS, MAGNITUDE, LEVELS = 2, 9, 31  # of RandAugment: torchvision's defaults
BILINEAR = InterpolationMode.BILINEAR


def colour_jitter(picture: Tensor, generator: Generator) -> Tensor:
    """Brightness, contrast, saturation and hue, each by a random amount, in random order."""
    changes: dict[str, Callable[[Tensor, float], Tensor]] = {
        "brightness": F.adjust_brightness,
        "contrast": F.adjust_contrast,
        "saturation": F.adjust_saturation,
        "hue": F.adjust_hue,
    }
    if picture.shape[-3] == 1:  # grey: there is no colour to change
        changes = {name: changes[name] for name in ("brightness", "contrast")}
    names = list(changes)
    for index in torch.randperm(len(names), generator=generator).tolist():
        name, strength = names[index], STRENGTH[names[index]]
        amount = _uniform(-strength, strength, generator)
        picture = changes[name](picture, amount if name == "hue" else 1 + amount)
    return picture


def rand_augment(picture: Tensor, generator: Generator) -> Tensor:
    """Two of fourteen operations, at a fixed magnitude, in a random direction.

    Source: Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space" (2019).
    """
    names = list(_OPERATIONS)
    for _ in range(OPERATIONS):
        name = names[int(torch.randint(len(names), (1,), generator=generator))]
        sign = -1 if torch.rand(1, generator=generator) < 0.5 else 1
        if not (name == "colour" and picture.shape[-3] == 1):
            picture = _OPERATIONS[name](picture, MAGNITUDE / (LEVELS - 1), sign)
    return picture


DISTORTIONS: dict[str, Callable[[Tensor, Generator], Tensor]] = {
    "colour_jitter": colour_jitter,
    "rand_augment": rand_augment,
}


def _uniform(low: float, high: float, generator: Generator) -> float:
    return torch.empty(1).uniform_(low, high, generator=generator).item()


def _shear(picture: Tensor, x: float, y: float) -> Tensor:
    """By the tangents ``x`` and ``y``, about the upper left corner, as the paper's code does."""
    degrees = [torch.atan(torch.tensor(tangent)).rad2deg().item() for tangent in (x, y)]
    return F.affine(picture, 0.0, [0, 0], 1.0, degrees, interpolation=BILINEAR, center=[0.0, 0.0])


def _translate(picture: Tensor, x: float, y: float) -> Tensor:
    shift = [round(x * picture.shape[-1]), round(y * picture.shape[-2])]
    return F.affine(picture, 0.0, shift, 1.0, [0.0, 0.0], interpolation=BILINEAR)


# What each does with a strength from 0 to 1 and a sign: the ranges are torchvision's.
_OPERATIONS: dict[str, Callable[[Tensor, float, int], Tensor]] = {
    "identity": lambda p, m, s: p,
    "shear_x": lambda p, m, s: _shear(p, s * 0.3 * m, 0.0),
    "shear_y": lambda p, m, s: _shear(p, 0.0, s * 0.3 * m),
    "translate_x": lambda p, m, s: _translate(p, s * 150 / 331 * m, 0.0),
    "translate_y": lambda p, m, s: _translate(p, 0.0, s * 150 / 331 * m),
    "rotate": lambda p, m, s: F.rotate(p, s * 30.0 * m, interpolation=BILINEAR),
    "brightness": lambda p, m, s: F.adjust_brightness(p, 1 + s * 0.9 * m),
    "colour": lambda p, m, s: F.adjust_saturation(p, 1 + s * 0.9 * m),
    "contrast": lambda p, m, s: F.adjust_contrast(p, 1 + s * 0.9 * m),
    "sharpness": lambda p, m, s: F.adjust_sharpness(p, 1 + s * 0.9 * m),
    "posterize": lambda p, m, s: F.posterize(p, 8 - round(4 * m)),
    "solarize": lambda p, m, s: F.solarize(p, 255 * (1 - m)),
    "autocontrast": lambda p, m, s: F.autocontrast(p),
    "equalize": lambda p, m, s: F.equalize(p),
}
