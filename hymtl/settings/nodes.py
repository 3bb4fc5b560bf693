"""A config's settings by their dotted names, not resolved."""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hymtl.errors import HymtlError

ABSENT = object()


def leaves(cfg: DictConfig, path: str = "", *, with_sections: bool = False) -> Iterator[tuple[str, Any]]:
    """Settings by their dotted names, not resolved."""
    for key in cfg:
        node, name = cfg._get_node(key), path + str(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation():
            if with_sections:
                yield name, node
            yield from leaves(node, f"{name}.", with_sections=with_sections)
        else:
            yield name, None if node is None else node._value()


def is_opaque(node: Any, declared: DictConfig, name: str) -> bool:
    """A mapping that conf/ has as a plain value (null, or empty): what is in it is for whoever takes it."""
    if not isinstance(node, DictConfig) or "." not in name:
        return False
    other = OmegaConf.select(declared, name)
    return other == {} or (other is None and _knows(declared, name))


def _knows(declared: DictConfig, name: str) -> bool:
    section, _, key = name.rpartition(".")
    holder = OmegaConf.select(declared, section)
    return isinstance(holder, DictConfig) and key in holder


def node(cfg: DictConfig, name: str) -> Any:
    section, _, key = name.rpartition(".")
    holder = OmegaConf.select(cfg, section)
    return holder._get_node(key) if isinstance(holder, DictConfig) and key in holder.keys() else None  # noqa: SIM118


def resolved(cfg: DictConfig, name: str) -> Any:
    """A setting's value, ``ABSENT`` where there is none.

    Raises:
        HymtlError: naming it, where it refers to what is not there.
    """
    try:
        return OmegaConf.select(cfg, name, default=ABSENT)
    except OmegaConfBaseException as error:
        raise HymtlError(f"{name} cannot be resolved: {str(error).splitlines()[0]}") from error
