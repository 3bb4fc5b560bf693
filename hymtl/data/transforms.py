"""From a decoded picture to what the network sees: augmentation by the recipe, the rest by the weights.

Pictures are uint8 tensors (C, H, W) until :func:`normalize` makes a batch float.
"""

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from hymtl.backbones import Preprocessing
from hymtl.errors import check_choice

AUGMENTATIONS = ("random_resized_crop", "random_crop", "none")


def training(preprocessing: Preprocessing, augmentation: str, resize: int) -> v2.Transform:
    """uint8 (C, H, W) to uint8 (C', size, size), differently each time.

    ``random_resized_crop`` is the transfer learning tutorial's recipe (a crop of 8 to 100 % of the area,
    scaled to size, flipped half the time); ``random_crop`` the quantized tutorial's (shorter side scaled to
    ``resize``, a crop of size, flipped half the time); ``none`` is :func:`evaluation`.
    """
    check_choice("data.augmentation", augmentation, AUGMENTATIONS)
    if augmentation == "none":
        return evaluation(preprocessing, resize)
    if augmentation == "random_resized_crop":
        crop: list = [v2.RandomResizedCrop(preprocessing.size, interpolation=_interpolation(preprocessing))]
    else:
        crop = [_shorter_side(preprocessing, resize), v2.RandomCrop(preprocessing.size)]
    return v2.Compose([_colour(preprocessing), *crop, v2.RandomHorizontalFlip()])


def evaluation(preprocessing: Preprocessing, resize: int) -> v2.Transform:
    """uint8 (C, H, W) to uint8 (C', size, size): shorter side scaled to ``resize`` pixels, centre crop."""
    return v2.Compose([_colour(preprocessing), _shorter_side(preprocessing, resize), v2.CenterCrop(preprocessing.size)])


def normalize(pictures: Tensor, preprocessing: Preprocessing) -> Tensor:
    """uint8 (N, C, H, W) to float32 of the mean and deviation that the weights expect."""
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return pictures.float().div_(255).sub_(mean).div_(std)


def denormalize(pictures: Tensor, preprocessing: Preprocessing) -> Tensor:
    """The way back, for people to look at: float32 (N, C, H, W) to uint8."""
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return (pictures.cpu() * std + mean).mul(255).round_().clamp_(0, 255).to(torch.uint8)


def _colour(preprocessing: Preprocessing) -> v2.Transform:
    """Grey pictures for a colour network and the other way round; nothing where they agree."""
    return v2.RGB() if preprocessing.channels == 3 else v2.Grayscale(preprocessing.channels)


def _shorter_side(preprocessing: Preprocessing, resize: int) -> v2.Resize:
    return v2.Resize(resize, interpolation=_interpolation(preprocessing))


def _interpolation(preprocessing: Preprocessing) -> InterpolationMode:
    return InterpolationMode(preprocessing.interpolation)
