"""``failure.json``: why a job of a sweep failed, beside the jobs that did not."""

from collections.abc import Sequence
from pathlib import Path

from hymtl import records
from hymtl.records import Record

FILE = "failure.json"
FORMAT = 1


class Failure(Record):
    """``error`` is the message, after its kind where it is none of hymtl's; ``overrides`` are of the command line."""

    format: int = 1  # as first written, without this number
    error: str = "no reason recorded"
    overrides: list[str] = []


def write(folder: Path, words: str, overrides: Sequence[str]) -> None:
    """Keep why the job in ``folder`` failed, in place of what was kept before."""
    records.write(Failure(format=FORMAT, error=words, overrides=list(overrides)), folder / FILE)


def error(folder: Path) -> str | None:
    """Why the job in ``folder`` failed; None where it has not.

    Raises:
        HymtlError: if its record cannot be read.
    """
    file = folder / FILE
    return records.read(Failure, file).error if file.is_file() else None
