"""A picture with what spoke for its class in colours over it."""

import numpy as np
from matplotlib import colormaps
from PIL import Image
from torch import Tensor

STRENGTH = 0.6  # of the colours, where most was said


def over(picture: Tensor, heat: Tensor) -> Image.Image:
    """A picture, uint8 (C, H, W), with heat, float32 (H, W) of 0 to 1: grey where nothing spoke, then blue to red."""
    pixels = picture.expand(3, -1, -1).permute(1, 2, 0).numpy().astype(np.float32)
    grey = pixels.mean(axis=2, keepdims=True).repeat(3, axis=2)
    colours = colormaps["jet"](heat.numpy())[..., :3].astype(np.float32) * 255
    share = STRENGTH * heat.numpy()[..., None]
    return Image.fromarray(((1 - share) * grey + share * colours).clip(0, 255).round().astype(np.uint8))


def beside(picture: Tensor, heat: Tensor) -> Image.Image:
    """The picture on the left, the same with its heat on the right."""
    plain = Image.fromarray(picture.expand(3, -1, -1).permute(1, 2, 0).numpy())
    both = Image.new("RGB", (2 * plain.width, plain.height))
    both.paste(plain, (0, 0))
    both.paste(over(picture, heat), (plain.width, 0))
    return both
