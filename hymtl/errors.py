"""The one error type a user of hymtl is meant to read."""

import difflib
from collections.abc import Iterable


class HymtlError(Exception):
    """Something the user can fix: names the thing and the remedy.

    ``train.py`` and the command ``hymtl`` print it without a traceback and exit with code 1.
    """


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """A sentence that lists ``choices``, led by the one closest to ``name`` when one is close."""
    choices = sorted(choices)
    lower = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(name.lower(), lower, n=1)
    hint = f"Did you mean '{lower[close[0]]}'? " if close else ""
    return f"{hint}Choose from: {', '.join(choices)}."


def check_choice(setting: str, value: object, choices: Iterable[str]) -> None:
    """Raise a ``HymtlError`` that names ``setting`` unless ``value`` is one of ``choices``."""
    choices = list(choices)
    if value not in choices:
        raise HymtlError(f"{setting}={value} is unknown. {did_you_mean(str(value), choices)}")


def check_epochs(setting: str, value: object) -> None:
    """Raise a ``HymtlError`` that names ``setting`` unless ``value`` is a number of epochs, or None for never."""
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise HymtlError(f"{setting}={value}: expected a whole number of epochs, or null for never.")


def check_views(views: object) -> None:
    """Raise a ``HymtlError`` unless ``views`` is a number of augmented views, or None for a new one each epoch."""
    if views is not None and (not isinstance(views, int) or isinstance(views, bool) or views < 1):
        raise HymtlError(f"strategy.views={views}: expected a whole number of at least 1, or null.")
