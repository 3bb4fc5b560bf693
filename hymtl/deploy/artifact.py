"""The deployable: one folder with the weights and all it takes to use them.

``artifact.json`` describes the network (backbone, strategy, classes, preprocessing), how good it was and where it
came from; ``weights.pt`` is a state dict that loads with ``weights_only=True``; ``SHA256SUMS`` has the digests
of both, in the format of the command of that name.
"""

import hashlib
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from hymtl import backbones, records, strategies
from hymtl.errors import HymtlError
from hymtl.network import Classifier
from hymtl.preprocessing import Preprocessing
from hymtl.records import description
from hymtl.records.description import Description

WEIGHTS, DIGESTS = "weights.pt", "SHA256SUMS"


@dataclass
class Artifact:
    """A loaded deployable: ``network`` is on the CPU, in eval mode; the rest is ``artifact.json``."""

    network: Classifier
    backbone: str
    strategy: dict
    classes: list[str]
    preprocessing: Preprocessing
    resize: int  # pixels of a picture's shorter side, before the centre crop
    sources: dict
    scores: dict
    digest: str  # sha256 of the weights' file
    temperature: float = 1.0  # that logits are divided by, see hymtl.deploy.calibration


def save(folder: Path, network: Classifier, facts: Mapping, scores: dict, temperature: float = 1.0) -> None:
    """Write a finished network, on the CPU, with the plain ``facts`` of its LightningModule and its ``scores``.

    ``SHA256SUMS`` comes last: a folder that has it is whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DIGESTS).unlink(missing_ok=True)
    torch.save(network.state_dict(), folder / WEIGHTS)
    described = Description(
        format=description.FORMAT,
        backbone=facts["backbone"],
        strategy=dict(facts["strategy"]),
        classes=list(facts["classes"]),
        preprocessing=description.Expected(**backbones.get(facts["backbone"]).preprocessing.as_dict()),
        resize=facts["resize"],
        temperature=temperature,
        scores=scores,
        sources=dict(facts["sources"] or {}),
        torch=torch.__version__,
    )
    records.write(described, folder / description.FILE)
    (folder / DIGESTS).write_text("".join(_digest_line(folder / name) for name in (description.FILE, WEIGHTS)))


def load(folder: Path) -> Artifact:
    """Read an artifact's folder and build its network.

    Raises:
        HymtlError: if a file is missing or not what was saved, the format is of another hymtl, the weights do not
            fit the description, or this machine lacks the engine.
    """
    for name in (description.FILE, WEIGHTS, DIGESTS):
        if not (folder / name).is_file():
            raise HymtlError(f"{folder} is no artifact of hymtl, or not a whole one: it has no {name}.")
    _check_format(folder / description.FILE)
    _check_digests(folder)
    described = records.read(Description, folder / description.FILE)
    _check_engine(folder, described.strategy)
    network = rebuild(described.backbone, described.strategy, len(described.classes))
    _load_weights(network, folder / WEIGHTS, described)
    expected = described.preprocessing
    return Artifact(
        network.eval(),
        described.backbone,
        described.strategy,
        described.classes,
        Preprocessing(
            expected.size, expected.channels, tuple(expected.mean), tuple(expected.std), expected.interpolation
        ),
        described.resize,
        described.sources,
        described.scores,
        _sha256(folder / WEIGHTS),
        described.temperature,
    )


def rebuild(backbone: str, strategy: dict, classes: int) -> Classifier:
    """The finished architecture, int8 where the strategy quantizes, for a state dict to be loaded into."""
    entry, chosen = backbones.get(backbone), strategies.create(**strategy)
    network = chosen.build(entry, classes)
    # Converting wants ranges of the right shape; one blank picture gives every observer some.
    blank = torch.zeros(1, entry.preprocessing.channels, entry.preprocessing.size, entry.preprocessing.size)
    with torch.no_grad(), chosen.training(network):
        network.eval()(blank)
    return chosen.finish(network, [blank])


def _check_format(file: Path) -> None:
    """Before the digests, which another format may keep elsewhere."""
    try:
        found = json.loads(file.read_text())["format"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise HymtlError(f"{file} is no description of an artifact ({error!r}). Copy the artifact anew.") from error
    if found != description.FORMAT:
        remedy = (
            "Upgrade hymtl." if isinstance(found, int) and found > description.FORMAT else "Run the experiment anew."
        )
        raise HymtlError(f"{file} has format {found}; this hymtl reads {description.FORMAT}. {remedy}")


def _check_digests(folder: Path) -> None:
    """Byte by byte: whatever differs in any of the three files is found."""
    saved = (folder / DIGESTS).read_bytes().splitlines(keepends=True)
    for line, name in enumerate((description.FILE, WEIGHTS)):
        if saved[line : line + 1] != [_digest_line(folder / name).encode()]:
            raise HymtlError(
                f"{folder / name} is not the file that was saved, or {DIGESTS} is not: its sha256 differs. "
                "It was edited, cut short or damaged: copy the artifact's whole folder anew."
            )
    if len(saved) != 2:
        raise HymtlError(f"{folder / DIGESTS} has {len(saved)} lines instead of 2. Copy the artifact anew.")


def _check_engine(folder: Path, strategy: dict) -> None:
    """Creating the strategy checks that this machine has its engine and its quantizer."""
    try:
        strategies.create(**strategy)
    except HymtlError as error:
        engine = f" for the engine {strategy['engine']}" if strategy.get("engine") else ""
        raise HymtlError(
            f"{folder} was made by strategy {strategy['name']}{engine}, which could not be found here: {error}"
        ) from error


def _load_weights(network: Classifier, file: Path, described: Description) -> None:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise HymtlError(f"{file} holds something other than tensors, and was not run: {error}") from error
    try:
        network.load_state_dict(state)
    except (RuntimeError, KeyError, AttributeError) as error:
        raise HymtlError(
            f"{file} does not fit {description.FILE}, which describes {described.backbone} with strategy "
            f"{described.strategy['name']} and {len(described.classes)} classes: {error}"
        ) from error


def _digest_line(file: Path) -> str:
    return f"{_sha256(file)}  {file.name}\n"


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
