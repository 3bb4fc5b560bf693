"""``result.json``: what a run used, scored, weighed and took. A folder that has it is of a finished run.

Accuracies are fractions, losses nats, sizes bytes, times seconds; epochs count from 0.
"""

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from hymtl import records
from hymtl.records import Number, Record

FILE = "result.json"
FORMAT = 2  # since 2 a history has the numbers of its epochs

Fraction = Field(ge=0, le=1)
Count = Field(ge=0, le=10**9)  # of photos or epochs: more is no run


class Dataset(Record):
    """The pictures: ``digest`` is a sha256 over their names and bytes; ``train``, ``val`` and ``test`` count them."""

    name: str
    digest: str
    train: int = Count
    val: int = Count
    test: int | None = None
    classes: list[str] = []
    root: str | None = None
    fallback: str | None = None  # why they are not what was asked for first


class Backbone(Record):
    """The pretrained network: ``weights`` is imagenet, random or a path; ``digest`` the sha256 of their file."""

    name: str
    weights: str | None = None
    digest: str | None = None
    fallback: str | None = None


class Split(Record):
    """How cross-validation or one of ``data``'s fractions split the pictures anew."""

    folds: int | None = None
    fold: int | None = None
    val_fraction: float | None = None
    test_fraction: float = 0.0
    train_fraction: float = 1.0
    split_seed: int = 0
    group: str | None = None
    leaks: str | None = None  # drop: where there were copies

    @property
    def pooled(self) -> "Split":
        """The split of which this is one fold, trained on all: runs of different ones score other photos."""
        alike = {"fold": None, "train_fraction": 1.0}
        return Split(**self.model_dump(include=set(Split.model_fields)) | alike)

    @property
    def words(self) -> str:
        """For logs and tables."""
        said = ["the data's own"]
        if self.folds:
            said = [f"{self.folds} folds" if self.fold is None else f"fold {self.fold} of {self.folds}"]
        elif self.val_fraction is not None:
            said = [f"{self.val_fraction:.0%} validation"]
        said += [f"{self.train_fraction:.3g} of the training photos"] * (self.train_fraction < 1)
        said += [f"{self.test_fraction:.0%} test"] * bool(self.test_fraction)
        said += [f"split_seed {self.split_seed}"] * bool(self.split_seed)
        said += [f"groups {self.group}"] * bool(self.group)
        said += ["copies dropped"] * bool(self.leaks)
        return ", ".join(said)


class Check(Record):
    """What :mod:`hymtl.data.check` found of the pictures before training.

    ``left_out`` are files of no kind that is read, ``skipped`` those that are no use (``data.on_bad=skip``). Of
    ``duplicates``, pictures that are there more than once, ``exact_duplicates`` have the same bytes; ``leaks`` are
    those that stand in more than one split, by their names, and ``dropped`` the copies that ``data.leaks=drop`` took
    out.
    """

    files: int = Field(ge=0)
    left_out: list[str] = []
    skipped: list[str] = []
    duplicates: int = 0
    exact_duplicates: int = 0
    leaks: list[list[str]] = []
    dropped: list[str] = []


class Best(Record):
    """The best epoch, by ``monitor``, of the network as it trained: fake-quantized under qat."""

    epoch: int = Count
    val_acc: float = Fraction
    val_loss: Number = None
    balanced_acc: float | None = None
    monitor: str = "val/acc"


class Deployed(Record):
    """The int8 network that is deployed."""

    val_acc: float = Fraction
    val_loss: Number = None


class Recall(Record):
    """Of a class: the fraction of its ``photos`` that is recognized, with Wilson's 95 % interval."""

    photos: int = Field(ge=1)
    recall: float = Fraction
    low: float = Fraction
    high: float = Fraction

    @property
    def recognized(self) -> int:
        return round(self.recall * self.photos)


class Scores(Record):
    """The network that is deployed, each class counting alike; see :mod:`hymtl.metrics`."""

    balanced_acc: float = Fraction
    macro_f1: float = Fraction
    classes: dict[str, Recall] = {}


class Calibration(Record):
    """Whether confidence is as high as accuracy, on validation photos.

    ``temperature`` was fitted on all of them (1: left as it is). ``ece_before`` and ``ece_after`` are expected
    calibration errors, the second by temperatures fitted on one half of the photos and measured on the other; None
    where none was fitted.
    """

    temperature: float = Field(gt=0)
    ece_before: float = Fraction
    ece_after: float | None = None


class Unsure(Record):
    """Validation photos with less confidence than ``below``, and how many of the ``rest`` are ``right``."""

    below: float = Fraction
    photos: int = Field(ge=0)
    rest: int = Field(ge=0)
    right: int = Field(ge=0)


class Probe(Record):
    """Logistic regression on the features of the pretrained backbone, where training went on from there."""

    val_acc: float = Fraction
    val_loss: Number = None
    penalty: float | None = None


class Test(Record):
    """The network that is deployed, on photos that nothing was chosen on."""

    acc: float = Fraction
    loss: Number = None
    photos: int | None = None
    scores: Scores | None = None
    ece: float | None = None  # with the temperature that validation photos gave


class Seconds(Record):
    """``fit`` counts what came before a resume too (None without the timer); ``photo`` is what one takes on the CPU."""

    fit: float | None = None
    photo: float | None = None


class Bytes(Record):
    """Of the weights as saved."""

    float32: int = Field(alias="float", ge=0)
    int8: int | None = None


class Result(Record):
    """The record of a finished run.

    ``history`` has what was logged, a value (or None) for each number in its ``epoch``; before format 2 it had no such
    numbers, and its epochs count from 0. ``config_hash`` is :func:`hymtl.fingerprint.digest`'s.
    """

    format: int = 1
    strategy: str
    seed: int
    epochs: int = Count
    dataset: Dataset
    data_split: Split | None = None
    data_check: Check | None = None
    backbone: Backbone
    options: dict[str, Any]
    optim: dict[str, Any]
    scheduler: dict[str, Any] | None
    batch_size: int | None = None
    best: Best
    int8: Deployed | None = None
    val: Scores | None = None
    test: Test | None = None
    calibration: dict[str, Calibration] = {}  # of float, fake_quant and int8, as far as there are such
    unsure: list[Unsure] = []  # of the network that is deployed, with its temperature
    probe: Probe | None = None
    engine: str | None = None
    int8_cost: dict[str, Any] | None = None
    seconds: Seconds
    bytes: Bytes
    history: dict[str, list[Number]] = {}
    predictions_format: int = 1  # of the file beside this one, which has no place for it
    device: str | None = None
    threads: int | None = None
    precision: str | None = None
    versions: dict[str, str] = {}
    git: str | None = None
    config_hash: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Result":
        if self.int8 and self.bytes.int8 is None:
            raise ValueError("bytes.int8 is missing")
        lengths = {len(values) for values in self.history.values()}
        if self.format >= 2 and len(lengths) > 1:
            raise ValueError("history: not a value for each epoch")
        return self

    @property
    def accuracy(self) -> float:
        """The validation accuracy of what is deployed: the int8 network's where there is one.

        A float one is deployed in float32: trained in bfloat16, or on a GPU, it may have had a photo more or less.
        """
        if self.int8 or not self.val:  # as records of earlier versions have none
            return (self.int8 or self.best).val_acc
        right = sum(one.recognized for one in self.val.classes.values())
        photos = sum(one.photos for one in self.val.classes.values())
        same = right == round(self.best.val_acc * photos)
        return self.best.val_acc if same else right / photos

    @property
    def copies(self) -> list[list[str]]:
        """The pictures that stand on two sides of a split, which flatters accuracy, each by its names."""
        return self.data_check.leaks if self.data_check and not self.data_check.dropped else []

    @property
    def deployed_calibration(self) -> Calibration | None:
        """Of the network that is deployed; None for runs older than this measure."""
        return self.calibration.get("int8" if self.int8 else "float")

    @property
    def below_probe(self) -> bool:
        """Whether training the backbone ended below what its starting features gave without."""
        return self.probe is not None and round((self.probe.val_acc - self.accuracy) * self.dataset.val) > 0

    @property
    def uneven(self) -> bool:
        """Whether a class has less than half the validation photos of another, so that accuracy alone tells little."""
        photos = [recall.photos for recall in self.val.classes.values()] if self.val else []
        return len(photos) > 1 and min(photos) < max(photos) / 2

    @property
    def curves(self) -> dict[str, tuple[list[int], list[float]]]:
        """Of each thing that was logged the epochs, and its values in them."""
        epochs = self.history.get("epoch")
        found = {}
        for name, values in self.history.items():
            numbers = range(len(values)) if epochs is None else [round(epoch) for epoch in epochs if epoch is not None]
            known = [(number, value) for number, value in zip(numbers, values, strict=False) if value is not None]
            if name != "epoch":
                found[name] = ([number for number, _ in known], [value for _, value in known])
        return found


def found(folder: Path) -> Result | None:
    """The record of the run in ``folder``; None where there is none that can be read."""
    return records.found(Result, folder / FILE)
