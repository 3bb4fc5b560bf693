"""timm's networks: any that classifies, as ``timm/MODEL``; timm is an extra, and this the only file that knows it.

What a network expects of a picture, which of its tensors are the classifier's and where its weights lie is what timm's
pretrained config of it says.

Source: Ross Wightman, "PyTorch Image Models", github.com/huggingface/pytorch-image-models.
"""

import difflib
from collections.abc import Iterator
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import cast

import torch
from torch import Tensor, nn

from hymtl.backbones.backbone import Backbone
from hymtl.errors import HymtlError
from hymtl.files.download import DownloadError
from hymtl.preprocessing import Preprocessing

BACKBONES = ()  # none is listed by name, as there are more than a thousand: see `named`


@cache
def named(model: str) -> Backbone:
    """The backbone ``timm/MODEL``; ``model`` may name the weights too, as timm does (``resnet18.a1_in1k``).

    Raises:
        HymtlError: if timm is missing, has no such model, or pictures of it are not square, in colour or grey.
    """
    timm = _timm()
    if not timm.is_model(model):
        raise HymtlError(f"backbone.model={model}: timm {timm.__version__} has no such model. {_hint(model, timm)}")
    try:
        with torch.device("meta"):
            body = _build(model).eval()
    except RuntimeError as error:  # a tag that the model does not have
        raise HymtlError(f"backbone.model={model}: {str(error).rstrip('.')}. {_hint(model, timm)}") from error
    expected = cast(dict, body.pretrained_cfg)
    return Backbone(
        f"timm/{model}",
        _features(body, model, expected["input_size"]),
        partial(_build, model),
        classifier=_classifier(expected),
        stages=_stages(body),
        imagenet=partial(_weights, model, expected),
        preprocessing=_preprocessing(model, expected),
    )


def _timm() -> ModuleType:
    try:
        import timm
    except ModuleNotFoundError as error:
        raise HymtlError(
            f'backbone=timm needs timm, which could not be imported ({error}): pip install "hymtl[timm]"'
        ) from error
    return timm


def _hint(model: str, timm: ModuleType) -> str:
    architecture, _, tag = model.partition(".")
    names = timm.list_models() if not (tag and timm.is_model(architecture)) else timm.list_pretrained(architecture)
    close = difflib.get_close_matches(model, names, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(close)}?" if close else "timm.list_models() in Python has all names."


def _build(model: str) -> nn.Module:
    return _timm().create_model(model, pretrained=False, num_classes=0)


def _features(body: nn.Module, model: str, picture: tuple[int, int, int]) -> int:
    """Numbers that a picture becomes, which timm's own attributes do not always say."""
    with torch.no_grad():
        features = body(torch.zeros(2, *picture, device="meta"))
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise HymtlError(f"backbone.model={model} gives no vector of features for a picture. Choose another model.")
    return features.shape[1]


def _classifier(expected: dict) -> tuple[str, ...]:
    names = expected.get("classifier") or ()
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))


def _preprocessing(model: str, expected: dict) -> Preprocessing:
    channels, height, width = expected["input_size"]
    if height != width or channels not in (1, 3):
        raise HymtlError(
            f"backbone.model={model} wants pictures {expected['input_size']}; hymtl's are square, RGB or grey."
        )
    interpolation = expected["interpolation"]
    return Preprocessing(
        size=height,
        channels=channels,
        mean=tuple(expected["mean"]),
        std=tuple(expected["std"]),
        interpolation="bilinear" if interpolation == "random" else interpolation,
    )


def _weights(model: str, expected: dict) -> Path:
    """The file of the weights, in Hugging Face's cache or torch's, downloaded there if it is not yet."""
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    if not expected.get("hf_hub_id") and not expected.get("url"):
        raise DownloadError(f"timm has no weights of {model}")
    try:
        if not expected.get("hf_hub_id"):
            return Path(_timm().models._hub.download_cached_file(expected["url"]))
        for name in ("model.safetensors", "pytorch_model.bin"):
            try:
                return Path(huggingface_hub.hf_hub_download(expected["hf_hub_id"], name))
            except LocalEntryNotFoundError:  # no connection, and not in the cache
                raise
            except EntryNotFoundError:
                continue
    except Exception as error:  # of the several libraries that a download goes through
        raise DownloadError(next(iter(str(error).splitlines()), type(error).__name__)) from error
    raise DownloadError(f"{expected['hf_hub_id']} has neither model.safetensors nor pytorch_model.bin")


def _stages(body: nn.Module) -> tuple[tuple[str, ...], ...]:
    """Modules with weights, in order, cut where timm's own record of the network says that the resolution changes.

    A network that works at one resolution, as many transformers do, is cut into quarters instead.
    """
    units = list(_units(body))
    weighty = [name for name in units if list(body.get_submodule(name).parameters())]
    ends = _ends(units, getattr(body, "feature_info", None))[:-1]  # what comes after the last is the last stage's
    if len(ends) < 2:
        units, ends = weighty, [round(len(weighty) * quarter / 4) for quarter in (1, 2, 3)]
    stages = [units[start:end] for start, end in pairwise([0, *ends, len(units)])]
    return tuple(stage for units in stages if (stage := tuple(name for name in units if name in weighty)))


def _units(body: nn.Module) -> Iterator[str]:
    """Children of the network, and in the place of sequences theirs."""
    for name, child in body.named_children():
        inside = [inner for inner, _ in child.named_children()]
        if isinstance(child, nn.Sequential | nn.ModuleList) and len(inside) > 1:
            yield from (f"{name}.{inner}" for inner in inside)
        else:
            yield name


def _ends(units: list[str], levels: object) -> list[int]:
    """After how many units each resolution ends."""
    ends: dict[int, int] = {}
    for level in levels if isinstance(levels, list) else ():
        name = f"{level['module']}."
        matching = [i for i, unit in enumerate(units, 1) if name.startswith(f"{unit}.") or f"{unit}.".startswith(name)]
        if level["module"] and matching:
            ends[level["reduction"]] = max(matching)
    return sorted(set(ends.values()))
