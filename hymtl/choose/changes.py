"""The test part changed as other cameras and other hands would change it: how much of an accuracy is left then.

Strengths are near the middle of the five of ImageNet-C (Hendrycks and Dietterich, "Benchmarking Neural Network
Robustness to Common Corruptions and Perturbations", ICLR 2019), whose pictures have 224 pixels.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from hymtl.data.photos import Photo
from hymtl.deploy import predict

BATCH = 16


def darkened(picture: Tensor) -> Tensor:
    """To two fifths of its light."""
    return F.adjust_brightness(picture, 0.4)


def blurred(picture: Tensor) -> Tensor:
    """As much as a radius of two pixels in 224."""
    radius = max(0.3, min(picture.shape[-2:]) / 112)
    return F.gaussian_blur(picture, [2 * round(3 * radius) + 1] * 2, [radius] * 2)


def shifted(picture: Tensor) -> Tensor:
    """Up and to the left by a tenth, what leaves the frame cut off: nothing is made up at the other sides."""
    height, width = picture.shape[-2:]
    return picture[..., height // 10 :, width // 10 :]


def recompressed(picture: Tensor) -> Tensor:
    """As a JPEG of quality 15."""
    encoded = io.BytesIO()  # by Pillow, as torchvision's encoder is deprecated
    F.to_pil_image(picture).save(encoded, "JPEG", quality=15)
    return F.pil_to_tensor(Image.open(encoded))


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    change.__name__: change for change in (darkened, blurred, shifted, recompressed)
}


def score(run: Path, photos: Sequence[Photo]) -> dict[str, float]:
    """The accuracy of a run's artifact on photos, by what was done to them before anything else."""
    predictor = predict.load(run)
    right = dict.fromkeys(CHANGES, 0)
    for batch in (photos[start : start + BATCH] for start in range(0, len(photos), BATCH)):
        labels = torch.tensor([photo.label for photo in batch])
        decoded = [photo.decode() for photo in batch]
        for name, change in CHANGES.items():
            prepared = torch.stack([predictor.prepare(change(picture)) for picture in decoded])
            right[name] += int((predictor.logits(prepared).argmax(dim=1) == labels).sum())
    return {name: count / len(photos) for name, count in right.items()}
