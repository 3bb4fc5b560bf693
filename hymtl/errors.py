"""The one error type a user of hymtl is meant to read."""

import difflib
import logging
import unicodedata
from collections.abc import Iterable


class HymtlError(Exception):
    """Something the user can fix: names the thing and the remedy.

    ``train.py`` and the command ``hymtl`` print it without a traceback and exit with code 1. What it quotes of files is
    made printable.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    """Text from a file as a terminal may have it: escape codes and other signs that control one are spelled out."""
    if text.isascii() and text.isprintable():  # nearly always
        return text
    return "".join(sign.encode("unicode_escape").decode() if _controls(sign) else sign for sign in text)


def _controls(sign: str) -> bool:
    # Control characters, those that turn the direction of writing or hide, and halves of surrogate pairs.
    return unicodedata.category(sign) in ("Cc", "Cf", "Cs") and sign not in "\n\t"


class PrintableFormatter(logging.Formatter):
    """Lines of the log, made printable: class names and paths are other people's text."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def in_one_line(error: Exception) -> str:
    """What another library says, without what Hydra adds of its own."""
    return " ".join(str(error.__cause__ or error).partition("full_key:")[0].split())


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
