"""The deployable: one folder with the weights and all it takes to use them.

``artifact.json`` describes the network (backbone, strategy, classes, preprocessing), where it came from, and
the sha256 of ``weights.pt``, a state dict that loads with ``weights_only=True``.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from hymtl import backbones, strategies
from hymtl.backbones import Preprocessing
from hymtl.errors import HymtlError

FORMAT = 1
DESCRIPTION, WEIGHTS = "artifact.json", "weights.pt"


@dataclass
class Artifact:
    """A loaded deployable: ``network`` is on the CPU, in eval mode; the rest is ``artifact.json``."""

    network: nn.Module
    backbone: str
    strategy: dict
    classes: list[str]
    preprocessing: Preprocessing
    resize: int  # pixels of a picture's shorter side, before the centre crop
    sources: dict


def save(folder: Path, network: nn.Module, hparams: dict) -> None:
    """Write a finished network, on the CPU, and the plain facts of its LightningModule's ``hparams``.

    ``weights.pt`` comes first and ``artifact.json`` last: a folder that has the second is whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), folder / WEIGHTS)
    description = {
        "format": FORMAT,
        "backbone": hparams["backbone"],
        "strategy": dict(hparams["strategy"]),
        "classes": list(hparams["classes"]),
        "preprocessing": backbones.get(hparams["backbone"]).preprocessing.as_dict(),
        "resize": hparams["resize"],
        "sources": hparams["sources"],
        "torch": torch.__version__,
        "sha256": {WEIGHTS: _sha256(folder / WEIGHTS)},
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")


def load(folder: Path) -> Artifact:
    """Read an artifact's folder and build its network.

    Raises:
        HymtlError: if something is missing, of a newer format, or not what was saved.
    """
    description = _describe(folder)
    if not (folder / WEIGHTS).is_file():
        raise HymtlError(f"{folder / WEIGHTS} is missing. Copy the artifact's whole folder.")
    if _sha256(folder / WEIGHTS) != description["sha256"][WEIGHTS]:
        raise HymtlError(f"{folder / WEIGHTS} is not the file that was saved (its sha256 differs). Copy it anew.")
    network = rebuild(description["backbone"], description["strategy"], len(description["classes"]))
    network.load_state_dict(torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True))
    return Artifact(
        network.eval(),
        description["backbone"],
        description["strategy"],
        description["classes"],
        Preprocessing(**description["preprocessing"]),
        description["resize"],
        description["sources"],
    )


def rebuild(backbone: str, strategy: dict, classes: int) -> nn.Module:
    """The finished architecture, int8 where the strategy quantizes, for a state dict to be loaded into."""
    entry, recipe = backbones.get(backbone), strategies.create(**strategy)
    network = recipe.build(entry, classes)
    # Converting wants ranges of the right shape; one blank picture gives every observer some.
    blank = torch.zeros(1, entry.preprocessing.channels, entry.preprocessing.size, entry.preprocessing.size)
    with torch.no_grad(), recipe.training(network):
        network.eval()(blank)
    return recipe.finish(network, [blank])


def _describe(folder: Path) -> dict:
    try:
        description = json.loads((folder / DESCRIPTION).read_text())
    except FileNotFoundError as error:
        raise HymtlError(f"{folder} is no artifact of hymtl: it has no {DESCRIPTION}.") from error
    except ValueError as error:
        raise HymtlError(f"{folder / DESCRIPTION} is no valid JSON: {error}") from error
    if description.get("format", 0) > FORMAT:
        raise HymtlError(
            f"{folder} has format {description['format']}; this hymtl reads up to {FORMAT}. Upgrade hymtl."
        )
    return description


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
