"""Files for other runtimes: each format is a file of this folder, with the names of :class:`Format`.

Every file takes uint8 pictures (N, C, size, size) of any N and gives probabilities (N, classes), float32: see
:class:`hymtl.deploy.whole.Whole`. What a format needs beside torch is imported when it is used: all are extras.
"""

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, cast

from hymtl import registry
from hymtl.deploy.whole import Run, Whole
from hymtl.errors import HymtlError


class Format(Protocol):
    """What a file of this folder has."""

    FILE: str  # how its file is called
    RUNTIME: str  # what runs it
    MODULES: tuple[str, ...]  # what writing and running it imports beside torch
    RESIZES: bool  # whether a picture of any size can go in

    def obstacle(self, whole: Whole) -> str | None:
        """What keeps a network from being written in this format, in words; None if nothing."""

    def write(self, whole: Whole, file: Path, facts: Mapping[str, str], *, resize: int | None) -> None:
        """Write the file, with ``facts`` in its metadata; ``resize`` is the shorter side that a picture is scaled to
        inside, None where it comes in the network's size."""

    def run(self, file: Path, threads: int) -> Run:
        """The file, loaded in its own runtime on so many threads of the CPU."""

    def facts(self, file: Path) -> dict[str, str]:
        """The metadata that :meth:`write` put into the file."""


def names() -> list[str]:
    """The formats there are."""
    return registry.names(importlib.import_module(__name__))


def module(name: str) -> Format:
    """The format of that name, whether or not this machine can use it."""
    return cast(Format, registry.load(importlib.import_module(__name__), "--format", name))


def get(name: str) -> Format:
    """The format of that name, with what it imports there.

    Raises:
        HymtlError: if there is none of that name, or a package that it needs is missing.
    """
    chosen = module(name)
    for needed in chosen.MODULES:
        try:
            importlib.import_module(needed)
        except ImportError as error:
            raise HymtlError(
                f"--format {name} needs {needed}, which could not be imported ({error}). "
                f'Install it: pip install "hymtl[{name}]".'
            ) from error
    return chosen


def write(name: str, whole: Whole, file: Path, facts: Mapping[str, str], *, resize: int | None) -> None:
    """:meth:`Format.write` of the format ``name``.

    Raises:
        HymtlError: if its exporter does not know the network.
    """
    with _in_words(f"--format {name}: this network cannot be written"):
        get(name).write(whole, file, facts, resize=resize)


def run(name: str, file: Path, threads: int) -> Run:
    """:meth:`Format.run` of the format ``name``.

    Raises:
        HymtlError: if the file is damaged, or none of that format.
    """
    with _in_words(f"{file} cannot be run"):
        return get(name).run(file, threads)


def facts(name: str, file: Path) -> dict[str, str]:
    """:meth:`Format.facts` of the format ``name``.

    Raises:
        HymtlError: if the file is damaged, or none of that format that hymtl wrote.
    """
    with _in_words(f"{file} cannot be read"):
        return get(name).facts(file)


@contextlib.contextmanager
def _in_words(what: str) -> Iterator[None]:
    """Exporters and runtimes raise whatever they trip over."""
    try:
        yield
    except (HymtlError, OSError, MemoryError):
        raise
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), "")
        raise HymtlError(f"{what}: {type(error).__name__}: {first[:300]}") from error
