"""The deployable: one folder with the weights and all it takes to use them.

``artifact.json`` describes the network (backbone, strategy, classes, preprocessing), how good it was and where it
came from; ``weights.pt`` is a state dict that loads with ``weights_only=True``; ``SHA256SUMS`` has the digests
of both, in the format of the command of that name.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from hymtl import backbones, records, strategies
from hymtl.errors import HymtlError
from hymtl.files import WriteError, clear_leftovers, tensors, together
from hymtl.network import Classifier
from hymtl.preprocessing import Preprocessing
from hymtl.records import description, plain
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

    An artifact that was in ``folder`` stays whole until all of this one is on the disk. Then its three files take the
    place of the older ones, ``SHA256SUMS`` last: cut short between these renames, :func:`load` refuses the folder until
    it is written again, as a run that is resumed does.

    Raises:
        WriteError: naming the file, if the system refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(folder, error) from error
    clear_leftovers(folder)
    described = Description(
        format=description.FORMAT,
        backbone=facts["backbone"],
        strategy=dict(facts["strategy"]),
        classes=list(facts["classes"]),
        preprocessing=description.Expected(**backbones.get(facts["backbone"]).preprocessing.as_dict()),
        resize=facts["resize"],
        temperature=temperature,
        scores=description.Scored.model_validate(scores),
        sources=dict(facts["sources"] or {}),
        torch=torch.__version__,
    )
    with together() as writing:
        with writing(folder / WEIGHTS) as weights:
            tensors.dump(network.state_dict(), weights)
            of_weights = _digest_line(weights, WEIGHTS)
        with writing(folder / description.FILE) as text:
            text.write(records.as_json(described).encode())
            of_text = _digest_line(text, description.FILE)
        with writing(folder / DIGESTS) as digests:
            digests.write(of_text + of_weights)


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
    _check_sizes(folder, described)
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
        described.scores.model_dump(exclude_unset=True),
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


def _check_sizes(folder: Path, described: Description) -> None:
    """Before any memory is spent on a network of the described size."""
    entry, file = backbones.get(described.backbone), folder / WEIGHTS
    if described.preprocessing.channels != entry.preprocessing.channels:
        reason = f"the network sees {entry.preprocessing.channels} channels, not {described.preprocessing.channels}"
        raise HymtlError(f"{folder / description.FILE}: preprocessing.channels: {reason}.")
    head = len(described.classes) * entry.features * 4  # bytes, in float32 whatever the strategy
    if file.stat().st_size < head:
        raise HymtlError(_misfit(file, described, f"it has {file.stat().st_size} bytes, and the head alone {head}"))


def _check_format(file: Path) -> None:
    """Before the digests, which another format may keep elsewhere."""
    try:
        found = json.loads(plain.read_text(file, plain.LIMIT))["format"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise HymtlError(f"{file} is no description of an artifact ({error!r}). Copy the artifact anew.") from error
    if found != description.FORMAT:
        remedy = (
            "Upgrade hymtl." if isinstance(found, int) and found > description.FORMAT else "Run the experiment anew."
        )
        raise HymtlError(f"{file} has format {found}; this hymtl reads {description.FORMAT}. {remedy}")


def _check_digests(folder: Path) -> None:
    """Byte by byte: whatever differs in any of the three files is found."""
    saved = plain.read_bytes(folder / DIGESTS, 1000).splitlines(keepends=True)
    for line, name in enumerate((description.FILE, WEIGHTS)):
        with (folder / name).open("rb") as stream:
            expected = _digest_line(stream, name)
        if saved[line : line + 1] != [expected]:
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
    except (HymtlError, TypeError, ValueError, AttributeError) as error:  # options of another type than they have
        engine = f" for the engine {strategy['engine']}" if strategy.get("engine") else ""
        raise HymtlError(
            f"{folder} was made by strategy {strategy['name']}{engine}, which could not be found here: {error}"
        ) from error


def _load_weights(network: Classifier, file: Path, described: Description) -> None:
    state = tensors.read(file)
    try:
        network.load_state_dict(state)
    except Exception as error:  # quantized modules raise whatever they trip over in a state that is not theirs
        raise HymtlError(_misfit(file, described, str(error) or type(error).__name__)) from error
    if name := tensors.first_not_finite(state):
        raise HymtlError(f"{file} has numbers in {name} that are none (NaN or infinity): its training had diverged.")


def _misfit(file: Path, described: Description, reason: str) -> str:
    return (
        f"{file} does not fit {description.FILE}, which describes {described.backbone} with strategy "
        f"{described.strategy['name']} and {len(described.classes)} classes: {reason}"
    )


def _digest_line(stream: BinaryIO, name: str) -> bytes:
    stream.seek(0)  # which writes what is buffered, too
    return f"{hashlib.file_digest(cast(Any, stream), 'sha256').hexdigest()}  {name}\n".encode()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
