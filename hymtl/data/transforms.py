"""From a decoded picture to what the network sees: augmentation by the strategy, the rest by the weights.

Pictures are uint8 tensors (C, H, W) until :func:`normalize` makes a batch float.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import torch
from torch import Generator, Tensor
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from hymtl.data.distortions import DISTORTIONS, Distortion
from hymtl.errors import HymtlError, check_choice
from hymtl.preprocessing import Preprocessing

Augmentation = Literal["random_resized_crop", "random_crop", "none"]
MAX_SCALED = 100_000_000  # pixels of a scaled picture


@dataclass(frozen=True)
class Transform:
    """From a decoded picture, uint8 (C, H, W), to uint8 (C', size, size): what can be done once, then what cannot.

    ``augment`` draws from the generator it is given and from nothing else, so several threads may call it at a time;
    None where nothing is left to chance.
    """

    once: Callable[[Tensor], Tensor]
    augment: Callable[[Tensor, Generator], Tensor] | None = None


def training(preprocessing: Preprocessing, augmentation: str, resize: int, distortion: str | None = None) -> Transform:
    """Different each time.

    ``random_resized_crop`` is the transfer learning tutorial's (a crop of 8 to 100 % of the area,
    scaled to size, flipped half the time); ``random_crop`` the quantized tutorial's (shorter side scaled to
    ``resize``, a crop of size, flipped half the time); ``none`` is :func:`evaluation`. ``distortion``, one of
    :mod:`hymtl.data.distortions`, comes after it.
    """
    cropped = _cropped(preprocessing, augmentation, resize)
    if distortion is None:
        return cropped
    check_choice("data.distortion", distortion, get_args(Distortion))
    return Transform(cropped.once, partial(_then, cropped.augment, DISTORTIONS[distortion]))


def _then(
    first: Callable[[Tensor, Generator], Tensor] | None,
    second: Callable[[Tensor, Generator], Tensor],
    picture: Tensor,
    generator: Generator,
) -> Tensor:
    return second(picture if first is None else first(picture, generator), generator)


def _cropped(preprocessing: Preprocessing, augmentation: str, resize: int) -> Transform:
    check_choice("data.augmentation", augmentation, get_args(Augmentation))
    colour, size = to_colours(preprocessing), preprocessing.size
    if augmentation == "none":
        return evaluation(preprocessing, resize)
    if augmentation == "random_resized_crop":
        return Transform(colour, partial(_random_resized_crop, size=size, interpolation=_interpolation(preprocessing)))
    return Transform(v2.Compose([colour, _shorter_side(preprocessing, resize)]), partial(_random_crop, size=size))


def evaluation(preprocessing: Preprocessing, resize: int) -> Transform:
    """Shorter side scaled to ``resize`` pixels, centre crop."""
    once = v2.Compose(
        [to_colours(preprocessing), _shorter_side(preprocessing, resize), v2.CenterCrop(preprocessing.size)]
    )
    return Transform(once)


# torchvision's RandomResizedCrop, RandomCrop and RandomHorizontalFlip draw from torch's one global random state,
# which threads would have to take turns at. These draw the very same numbers from a generator.


def _random_resized_crop(
    picture: Tensor, generator: Generator, *, size: int, interpolation: InterpolationMode
) -> Tensor:
    height, width = picture.shape[-2:]
    box = _random_box(height, width, generator)
    crop = F.resized_crop(picture, *box, size=[size, size], interpolation=interpolation)
    return _random_flip(crop, generator)


def _random_box(height: int, width: int, generator: Generator) -> tuple[int, int, int, int]:
    """Top, left, height and width of a box with 8 to 100 % of the area and sides of 3:4 to 4:3."""
    log_ratio = torch.log(torch.tensor((3 / 4, 4 / 3)))
    for _ in range(10):
        area = height * width * torch.empty(1).uniform_(0.08, 1.0, generator=generator).item()
        ratio = torch.exp(torch.empty(1).uniform_(*log_ratio.tolist(), generator=generator)).item()
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return _random_int(height - h, generator), _random_int(width - w, generator), h, w
    # A picture so long or so high that no box fitted: as much of its middle as the ratios allow.
    w, h = min(width, round(height * 4 / 3)), min(height, round(width / (3 / 4)))
    return (height - h) // 2, (width - w) // 2, h, w


def _random_crop(picture: Tensor, generator: Generator, *, size: int) -> Tensor:
    # Where there is only one place for the crop, torchvision draws nothing.
    top, left = (_random_int(side - size, generator) if side > size else 0 for side in picture.shape[-2:])
    return _random_flip(F.crop(picture, top, left, size, size), generator)


def _random_flip(picture: Tensor, generator: Generator) -> Tensor:
    return picture.flip(-1) if torch.rand(1, generator=generator) < 0.5 else picture


def _random_int(largest: int, generator: Generator) -> int:
    return int(torch.randint(0, largest + 1, size=(1,), generator=generator))


def normalize(pictures: Tensor, preprocessing: Preprocessing) -> Tensor:
    """uint8 (N, C, H, W) to float32 of the mean and deviation that the weights expect.

    Its channels are last in memory, the order in which CPUs and GPUs convolve fastest.
    """
    pictures = pictures.to(torch.float32, memory_format=torch.channels_last)
    # A row of pixels at a time: operations that have no more than three numbers to repeat are not vectorized.
    mean, std = (
        torch.tensor(values).repeat(pictures.shape[-1], 1) for values in (preprocessing.mean, preprocessing.std)
    )
    pictures.permute(0, 2, 3, 1).mul_(1 / (255 * std)).sub_(mean / std)
    return pictures


def denormalize(pictures: Tensor, preprocessing: Preprocessing) -> Tensor:
    """The way back, for people to look at: float32 (N, C, H, W) to uint8."""
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return (pictures.cpu() * std + mean).mul(255).round_().clamp_(0, 255).to(torch.uint8)


def to_colours(preprocessing: Preprocessing) -> v2.Transform:
    """Grey pictures for a colour network and the other way round; nothing where they agree."""
    return v2.RGB() if preprocessing.channels == 3 else v2.Grayscale(preprocessing.channels)


def _shorter_side(preprocessing: Preprocessing, resize: int) -> Callable[[Tensor], Tensor]:
    return partial(_scaled, resize=resize, interpolation=_interpolation(preprocessing))


def _scaled(picture: Tensor, *, resize: int, interpolation: InterpolationMode) -> Tensor:
    """``resize`` pixels of the shorter side; of the longer one, so many that memory might not hold them."""
    height, width = picture.shape[-2:]
    pixels = resize * resize * max(height, width) / min(height, width)
    if pixels > MAX_SCALED:
        raise HymtlError(
            f"with a shorter side of {resize} pixels (data.resize) its {width} x {height} pixels become "
            f"{pixels / 1e6:,.0f} million, and at most {MAX_SCALED / 1e6:.0f} million are made."
        )
    return F.resize(picture, [resize], interpolation=interpolation)


def _interpolation(preprocessing: Preprocessing) -> InterpolationMode:
    return InterpolationMode(preprocessing.interpolation)
