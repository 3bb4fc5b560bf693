"""``predictions.csv``: what a run's deployed network said of each photo, for comparing runs photo by photo."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hymtl.errors import HymtlError
from hymtl.files import write_whole
from hymtl.records import plain

FILE = "predictions.csv"
GROUP = "group"  # the column's name, which no probability's is
FORMAT = 1  # stands in result.json
LIMIT = 64 * 2**20  # bytes


@dataclass(frozen=True)
class Guess:
    """``photo`` is its path below the dataset's folder; ``probabilities`` are in the order of the classes. Photos of
    one ``group`` (a plant, a patient, a video) are no independent ones.
    """

    photo: str
    label: str
    guess: str
    probabilities: dict[str, float]
    group: str | None = None


def write(file: Path, classes: Sequence[str], rows: Iterable[Guess]) -> None:
    """One row a photo: photo, label, guess, then the probability of each class, and last its group where it has one."""
    stream = io.StringIO()
    lines = csv.writer(stream)
    rows = list(rows)
    grouped = any(row.group is not None for row in rows)
    lines.writerow(["photo", "label", "guess", *(f"p({name})" for name in classes), *[GROUP] * grouped])
    for row in rows:
        probabilities = (f"{row.probabilities[name]:.6f}" for name in classes)
        lines.writerow([row.photo, row.label, row.guess, *probabilities, *[row.group] * grouped])
    write_whole(file, stream.getvalue())


def read(file: Path) -> list[Guess]:
    """The rows of a file that :func:`write` wrote.

    Raises:
        HymtlError: naming the file, if it cannot be read or is no such table.
    """
    try:
        return list(_guesses(csv.reader(io.StringIO(plain.read_text(file, LIMIT), newline=""))))
    except (ValueError, csv.Error, StopIteration) as error:
        raise HymtlError(f"{file} cannot be read: {error or 'it is empty'}.") from error


def picture(root: Path | str, photo: str) -> Path | None:
    """The file of a row's photo below its dataset's folder; None where there is none.

    A record is someone else's text: it may name any file of this machine, or a link to one.
    """
    try:
        file = (Path(root) / photo).resolve()
        return file if file.is_relative_to(Path(root).resolve()) and file.is_file() else None
    except (OSError, ValueError, RuntimeError):  # a name that none can have, links in a circle
        return None


def _guesses(rows: Iterable[list[str]]) -> Iterable[Guess]:
    rows = iter(rows)
    columns = next(rows, [])[3:]
    grouped = columns[-1:] == [GROUP]
    classes = [column.removeprefix("p(").removesuffix(")") for column in columns[: len(columns) - grouped]]
    if not classes:
        raise ValueError("it has no columns of probabilities")
    if len(set(classes)) < len(classes):
        raise ValueError("a class comes twice")
    seen = set()
    for photo, label, guess, *numbers in rows:
        group = numbers.pop() if grouped else None
        probabilities = dict(zip(classes, map(float, numbers), strict=True))
        if not all(math.isfinite(value) for value in probabilities.values()):
            raise ValueError(f"a probability of {photo} is no finite number")
        if photo in seen:
            raise ValueError(f"{photo} comes twice")
        seen.add(photo)
        yield Guess(photo, label, guess, probabilities, group)
