"""The small network of PyTorch's introduction, for 28 x 28 grey pictures of garments.

Source: PyTorch's "Training with PyTorch" (introduction series), ``GarmentClassifier``.
"""

from torch import nn

from hymtl.backbones.backbone import Backbone
from hymtl.preprocessing import Preprocessing

FEATURES = 84


class GarmentCNN(nn.Sequential):
    """Pictures (N, 1, 28, 28), float32, to features (N, 84): two convolutions and two of its three Linear layers."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 6, 5),  # 24 x 24
            nn.ReLU(),
            nn.MaxPool2d(2),  # 12 x 12
            nn.Conv2d(6, 16, 5),  # 8 x 8
            nn.ReLU(),
            nn.MaxPool2d(2),  # 4 x 4
            nn.Flatten(),
            nn.Linear(16 * 4 * 4, 120),
            nn.ReLU(),
            nn.Linear(120, FEATURES),
            nn.ReLU(),
        )


BACKBONES = (
    Backbone(
        "garment_cnn",
        FEATURES,
        GarmentCNN,
        classifier=(),
        stages=(("0", "3"), ("7", "9")),
        preprocessing=Preprocessing(size=28, channels=1, mean=(0.5,), std=(0.5,)),
    ),
)
