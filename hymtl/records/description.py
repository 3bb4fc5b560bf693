"""``artifact.json``: what a deployable network is, and what it expects of a picture."""

from typing import Any, Literal

from pydantic import Field

from hymtl.records import Record

FILE = "artifact.json"
FORMAT = 2


class Expected(Record):
    """The pictures that the network was trained on; see :class:`hymtl.preprocessing.Preprocessing`."""

    size: int = Field(ge=1, le=2048)
    channels: Literal[1, 3]
    mean: list[float] = Field(min_length=1, max_length=3)
    std: list[float] = Field(min_length=1, max_length=3)
    interpolation: Literal["nearest", "nearest-exact", "bilinear", "bicubic", "box", "hamming", "lanczos"]


class Description(Record):
    """All but the weights.

    ``resize`` is a picture's shorter side in pixels, before the centre crop. Logits are divided by ``temperature``
    before they become probabilities: see :mod:`hymtl.deploy.calibration`.
    """

    format: int
    backbone: str
    strategy: dict[str, Any]
    classes: list[str] = Field(min_length=2, max_length=100_000)
    preprocessing: Expected
    resize: int = Field(ge=1, le=8192)
    temperature: float = Field(default=1.0, gt=0)  # of artifacts that are older than this: 1
    scores: dict[str, Any] = {}
    sources: dict[str, Any] = {}
    torch: str | None = None
