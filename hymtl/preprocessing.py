"""What pretrained weights expect of a picture: it belongs to the weights, not to the dataset."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Preprocessing:
    """The pictures a network was trained on."""

    size: int = 224  # pixels, height and width of what the network sees
    channels: int = 3  # 3 for RGB, 1 for grey
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)  # of RGB in [0, 1]
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"

    @property
    def picture(self) -> tuple[int, int, int]:
        """The shape of one, (C, H, W)."""
        return self.channels, self.size, self.size

    def as_dict(self) -> dict:
        """Plain types, as checkpoints and artifacts keep it."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
