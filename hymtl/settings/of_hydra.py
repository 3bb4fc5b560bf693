"""Settings of Hydra's own, ``hydra.*``: read by somebody, and of a kind that Hydra only finds wrong later."""

import logging
from collections.abc import Sequence

from omegaconf import DictConfig

from hymtl.errors import HymtlError, check_choice
from hymtl.settings import meant, signatures
from hymtl.settings.nodes import is_opaque, leaves
from hymtl.settings.readers import target_of

LOGGING = ("job_logging", "hydra_logging")  # Python's own dictionaries
FREE = ("hydra.runtime.", "hydra.overrides.", *(f"hydra.{section}." for section in LOGGING))


def refuse_unread(cfg: DictConfig, declared: DictConfig, words: Sequence[str]) -> None:
    """Refuse what ``words`` add to ``hydra`` where neither Hydra's schema nor a ``_target_`` has a place for it.

    Raises:
        HymtlError: naming the word, and what was meant.
    """
    added = {word.lstrip("+").partition("=")[0]: word for word in words if word.startswith(("+hydra.", "++hydra."))}
    if not added:
        return
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


def check_levels(hydra: DictConfig) -> None:
    """Refuse levels of logging that there are not.

    Raises:
        HymtlError: naming the setting and the levels.
    """
    for section in LOGGING:
        for name, value in leaves(hydra[section]):
            if name.rpartition(".")[2] == "level" and not isinstance(value, int):
                check_choice(f"hydra.{section}.{name}", value, logging.getLevelNamesMapping())
