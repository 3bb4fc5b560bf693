"""Who reads a setting: it is declared in ``conf/``, or the class that its section's ``_target_`` names takes it."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hymtl import settings
from hymtl.errors import HymtlError, did_you_mean
from hymtl.settings import meant, nodes, signatures
from hymtl.settings.nodes import is_opaque, leaves, node
from hymtl.settings.rules import shown

DISPENSABLE = (
    "callbacks",
    "logger",
    "scheduler",
    "experiment",
    "debug",
    "choose",
    "ckpt_path",
)  # what ~NAME may take out
INTERVAL = "interval"  # of a scheduler: for the LightningModule, not for the scheduler's class
STRATEGIES = Path(__file__).parents[1] / "strategies"


def refuse_unread(
    found: Mapping[str, Any], declared: DictConfig, words: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> None:
    """Refuse settings, ``found`` by their dotted names, that neither ``conf/`` declares nor a class takes.

    Raises:
        HymtlError: naming the word of the command line, and what was meant.
    """
    names = list(dict(leaves(declared, with_sections=True)))
    for name, value in found.items():
        section, _, key = name.rpartition(".")
        target = target_of(found.get(section)) if section else None
        if key == "_target_":
            _check_target(name, str(value))
        if key.startswith("_") or (section == "scheduler" and key == INTERVAL):
            continue
        if target:
            _refuse_untaken(name, value, target, words)
            continue
        if any(name.startswith(f"{other}.") for other in found if is_opaque(found[other], declared, other)):
            continue
        if name in names or _is_addition(name, value):
            continue
        said = _said(name, value, words)
        if section == "callbacks":
            raise HymtlError(f"{said}: a callback is a class and its arguments: +{name}._target_=PACKAGE.CLASS")
        raise HymtlError(f"{said}: nobody reads such a setting. {meant.setting(name, value, names, groups)}")


def _check_target(name: str, target: str) -> None:
    package, _, kind = target.partition(".")[0], *target.rpartition(".")[1:]
    if not signatures.exists(target):
        raise HymtlError(f"{name}={target}: the package {package} is not installed.")
    beside = signatures.beside(target)
    if beside is not None and kind not in beside:
        close = difflib.get_close_matches(kind, beside, n=3)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise HymtlError(f"{name}={target}: there is no such class or function.{hint}")


def _refuse_untaken(name: str, value: Any, target: str, words: Sequence[str]) -> None:
    section, _, key = name.rpartition(".")
    signature = signatures.of(target)
    if signature is None or signature.open or key in signature.parameters:
        return
    parameters = [f"{section}.{parameter}" for parameter in signature.parameters]
    hint = meant.setting(name, value, parameters, {})
    raise HymtlError(f"{_said(name, value, words)}: {target} takes no {key}. {hint}")


def refuse_missing(found: Mapping[str, Any], declared: DictConfig, words: Sequence[str]) -> None:
    """Refuse a config that lacks what a run cannot do without.

    Raises:
        HymtlError: naming the word of the command line that took it out.
    """
    names = list(dict(leaves(declared, with_sections=True)))
    for name in names:
        section, inside, _ = name.partition(".")
        if name in found or section in DISPENSABLE:
            continue
        holder = name.rpartition(".")[0]
        if inside and (holder not in found or target_of(found[holder])):
            continue  # its section is missing, or was given anew as a whole; or a class has a default of its own
        raise HymtlError(
            _taken_out(name.removesuffix("._target_"), words, [n for n in names if n.startswith(f"{section}.")])
        )


def _taken_out(name: str, words: Sequence[str], inside: Sequence[str]) -> str:
    """Why a setting is missing: it, or the section that it is ``inside`` of, was taken out or given one value."""
    section = name.partition(".")[0]
    for word in words:
        key, equals, _ = word.lstrip("+~").partition("=")
        if key == section and equals and not word.startswith("~") and inside:
            return f"{word}: {section} is a section. Choose from: {', '.join(inside)}."
        if key in (name, section) and word.startswith("~"):
            return f"{word}: a run cannot do without {key}."
    return f"{name} is missing: a run cannot do without it."


def target_of(section: Any) -> str | None:
    """The ``_target_`` of a section; None for those that hymtl itself reads."""
    return section.get("_target_") if isinstance(section, DictConfig) else None


def check_types(cfg: DictConfig, declared: DictConfig) -> None:
    """Refuse values of another type than the code that gets them says.

    Raises:
        HymtlError: naming the setting, and what is expected.
    """
    for section, target in _targets(cfg):
        signature = signatures.of(target)
        for key in OmegaConf.select(cfg, section) if signature else ():
            parameter = signature.parameters.get(str(key)) if signature else None
            if parameter is not None:
                _check_type(cfg, declared, f"{section}.{key}", parameter)


def _check_type(cfg: DictConfig, declared: DictConfig, name: str, parameter: signatures.Accepts) -> None:
    given, own = node(cfg, name), node(declared, name)
    if given is not None and own is not None and given == own:  # what conf/ itself says
        return
    value = nodes.resolved(cfg, name)
    value = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    if parameter.holds(value) or settings.excused(name, value):
        return
    if isinstance(value, str) and parameter.choices and parameter.types <= {type(None)}:
        hint = did_you_mean(value, {shown(choice) for choice in (*parameter.choices, *[None] * len(parameter.types))})
        raise HymtlError(f"{name}={value} is unknown. {hint}")
    raise HymtlError(f"{name}={shown(value)}: expected {parameter.words()}.")


def _targets(cfg: DictConfig) -> Iterator[tuple[str, str]]:
    """Each section and the class or function that gets what is in it."""
    for name, section in leaves(cfg, with_sections=True):
        if target := target_of(section):
            yield name, target
    yield "data", "hymtl.data.batches.PictureBatches"
    file = STRATEGIES / f"{cfg.strategy.name}.py"
    if kind := signatures.dataclass_in(f"hymtl.strategies.{file.stem}") if file.is_file() else None:
        yield "strategy", kind


def _is_addition(name: str, value: Any) -> bool:
    """A callback of one's own, or one of several loggers."""
    section = name.rpartition(".")[0]
    return section in ("callbacks", "logger") and target_of(value) is not None


def _said(name: str, value: Any, words: Sequence[str]) -> str:
    """A setting as it was typed, or as a file of conf/ has it."""
    typed = [word for word in words if word.lstrip("+~").partition("=")[0] == name]
    return typed[0] if typed else f"{name}={'{...}' if isinstance(value, DictConfig) else value}"
