"""Strategies: what finetuning, freezing and quantizing each mean. Each file of this folder is one, by its name."""

import sys
from dataclasses import fields

from hymtl import registry
from hymtl.errors import HymtlError, did_you_mean
from hymtl.strategy import Strategy


def names() -> list[str]:
    """All strategies."""
    return registry.names(sys.modules[__name__])


def kind(name: str) -> type[Strategy]:
    """The class of the strategy called ``name``.

    Raises:
        HymtlError: if there is none of that name.
    """
    file = registry.load(sys.modules[__name__], "strategy.name", name)
    own = [thing for thing in vars(file).values() if getattr(thing, "__module__", None) == file.__name__]
    return next(thing for thing in own if isinstance(thing, type) and issubclass(thing, Strategy))


def create(name: str, **options) -> Strategy:
    """The strategy called ``name`` with the options of its ``conf/strategy/*.yaml``.

    Raises:
        HymtlError: if there is none of that name, or an option is unknown or has a bad value.
    """
    strategy = kind(name)
    known = [field.name for field in fields(strategy)]
    for option in options:
        if option not in known:
            raise HymtlError(f"strategy.{option} is no option of {name}. {did_you_mean(option, known)}")
    return strategy(**options)
