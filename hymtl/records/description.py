"""``artifact.json``: what a deployable network is, and what it expects of a picture."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hymtl.records import Number, Record
from hymtl.records.result import Unsure

FILE = "artifact.json"
FORMAT = 2


class Expected(Record):
    """The pictures that the network was trained on; see :class:`hymtl.preprocessing.Preprocessing`."""

    size: int = Field(ge=1, le=1024)
    channels: Literal[1, 3]
    mean: list[Annotated[float, Field(ge=-10, le=10)]]
    std: list[Annotated[float, Field(ge=1e-3, le=1000)]]
    interpolation: Literal["nearest", "nearest-exact", "bilinear", "bicubic"]

    @model_validator(mode="after")
    def _one_number_a_channel(self) -> "Expected":
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"mean and std must have {self.channels} numbers, one a channel")
        return self


class Scored(Record):
    """How good it was, of all that is said of it: what is used again."""

    val_acc: Number = None
    unsure: list[Unsure] = []


class Description(Record):
    """All but the weights.

    ``resize`` is a picture's shorter side in pixels, before the centre crop. Logits are divided by ``temperature``
    before they become probabilities: see :mod:`hymtl.deploy.calibration`.
    """

    format: int
    backbone: str
    strategy: dict[str, Any]
    classes: list[Annotated[str, Field(min_length=1, max_length=1000)]] = Field(min_length=2, max_length=100_000)
    preprocessing: Expected
    resize: int = Field(ge=1, le=4096)
    temperature: float = Field(default=1.0, ge=1e-6, le=1e6)  # of artifacts that are older than this: 1
    scores: Scored = Scored()
    sources: dict[str, dict[str, Any]] = {}
    torch: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Description":
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: a name comes twice")
        if self.resize < self.preprocessing.size:
            raise ValueError(f"resize is less than the {self.preprocessing.size} pixels that the network sees")
        if not isinstance(self.strategy.get("name"), str):
            raise ValueError("strategy: it has no name")
        return self
