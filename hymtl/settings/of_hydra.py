"""Settings of Hydra's own, ``hydra.*``: read by somebody, and of a kind that Hydra only finds wrong later."""

import logging
import math
from collections.abc import Callable, Sequence

from omegaconf import DictConfig, ListConfig, OmegaConf

from hymtl.errors import HymtlError, check_choice
from hymtl.settings import meant, signatures
from hymtl.settings.nodes import is_opaque, leaves, node, resolved
from hymtl.settings.readers import target_of

LOGGING = ("job_logging", "hydra_logging")  # Python's own dictionaries
COUNTS = ("n_jobs", "n_trials", "max_batch_size")  # n_jobs may be -1: as many as there are cores
FREE = ("hydra.runtime.", "hydra.overrides.", *(f"hydra.{section}." for section in LOGGING))


def refuse_unread(cfg: DictConfig, compose: Callable[[], DictConfig], words: Sequence[str]) -> None:
    """Refuse what ``words`` add to ``hydra`` where neither Hydra's schema nor a ``_target_`` has a place for it.

    ``compose`` gives what conf/ declares without them.

    Raises:
        HymtlError: naming the word, and what was meant.
    """
    added = {word.lstrip("+").partition("=")[0]: word for word in words if word.startswith(("+hydra.", "++hydra."))}
    if not added:
        return
    declared = compose()
    known = dict(leaves(declared.hydra, "hydra.", with_sections=True))
    found = dict(leaves(cfg.hydra, "hydra.", with_sections=True))
    for name, value in found.items():
        word = next((added[key] for key in added if f"{name}.".startswith(f"{key}.")), None)
        if word is None or name in known or name.startswith(FREE):
            continue
        section, _, key = name.rpartition(".")
        if target_of(value) or any(_is_free(other, found, declared) for other in _above(name, found)):
            continue
        target = target_of(found.get(section))
        signature = signatures.of(target) if target else None
        if target and (key.startswith("_") or signature is None or key in signature.parameters):
            continue  # a launcher that takes any other keyword hands it on to who refuses it
        said = f"{target} takes no {key}" if target else "nobody reads such a setting"
        raise HymtlError(f"{word}: {said}. {meant.setting(name, value, list(known), {})}")


def _is_free(section: str, found: dict, declared: DictConfig) -> bool:
    """Whether a section takes any key: Hydra's schema, or a ``_target_``, has it as one value."""
    holder = found.get(section.rpartition(".")[0])
    of_target = target_of(holder) is not None and target_of(found[section]) is None
    return of_target or is_opaque(found[section], declared, section)


def _above(name: str, found: dict) -> list[str]:
    """The sections that a setting is in."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(2, len(parts)) if ".".join(parts[:count]) in found]


def check_values(hydra: DictConfig) -> None:
    """Refuse values that Hydra, or who it hands them to, only finds wrong later.

    Raises:
        HymtlError: naming the setting and what it may be.
    """
    for place in ("run", "sweep"):
        if not node(hydra, f"{place}.dir")._value():
            raise HymtlError(f"hydra.{place}.dir=: expected a path.")
    for part in ("sweeper", "launcher"):
        _check_types(hydra, part)
    _check_levels(hydra)
    _check_loggers(hydra.verbose)


def _check_types(hydra: DictConfig, part: str) -> None:
    signature = signatures.of(str(target_of(hydra[part])))
    for name in hydra[part]:
        value = resolved(hydra, f"{part}.{name}")
        accepted = signature.parameters.get(str(name)) if signature else None
        if accepted and not OmegaConf.is_config(value) and not accepted.holds(value):
            raise HymtlError(f"hydra.{part}.{name}={value}: expected {accepted.words()}.")
        if name in COUNTS and value is not None and not _counts(value, least=-math.inf if name == "n_jobs" else 1):
            raise HymtlError(f"hydra.{part}.{name}={value}: expected a whole number of at least 1.")


def _counts(value: object, least: float) -> bool:
    return isinstance(value, int) and value != 0 and value >= least


def _check_levels(hydra: DictConfig) -> None:
    for section in LOGGING:
        for part in ("formatters", "handlers", "loggers", "root"):
            if part in hydra[section] and not isinstance(hydra[section][part], DictConfig):
                raise HymtlError(f"hydra.{section}.{part}={hydra[section][part]}: it is a section, see --cfg hydra")
        for name, value in leaves(hydra[section]):
            if name.rpartition(".")[2] == "level" and not isinstance(value, int):
                check_choice(f"hydra.{section}.{name}", value, logging.getLevelNamesMapping())


def _check_loggers(verbose: bool | str | ListConfig) -> None:
    for name in [] if isinstance(verbose, bool) else [verbose] if isinstance(verbose, str) else verbose:
        if not signatures.exists(str(name)):
            raise HymtlError(
                f"hydra.verbose={name}: expected true or false, or the packages to hear more of: hydra.verbose=hymtl"
            )
