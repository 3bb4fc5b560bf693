"""Predictions as they are printed, one by one: what was printed stays, however the command ends."""

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hymtl.errors import HymtlError, printable

if TYPE_CHECKING:
    from hymtl.deploy.predict import Prediction


class Rows(Protocol):
    """A form of printing; pictures that were refused go to standard error in all of them."""

    def add(self, file: Path, outcome: "Prediction | HymtlError") -> None:
        """Print what became of a picture."""

    def end(self) -> None:
        """Print what comes after the last."""


class Table:
    """Class and confidence first, as they are short, then the file; of no refused picture."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._width = max(6, *map(len, classes))  # "unsure" is one too
        self._begun = False

    def add(self, file: Path, outcome: "Prediction | HymtlError") -> None:
        if isinstance(outcome, HymtlError):
            return
        if not self._begun:
            print(f"{'class':<{self._width}}  confidence  file")
        self._begun = True
        row = printable(f"{outcome.label:<{self._width}}  {outcome.confidence:>10.2%}  {file}")
        print(row.replace("\n", "\\n"), flush=True)  # a line a file, whatever it is called

    def end(self) -> None:
        pass


class Json:
    """A list, with all probabilities; of a refused picture the error."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._before = "["

    def add(self, file: Path, outcome: "Prediction | HymtlError") -> None:
        found = {"error": str(outcome)} if isinstance(outcome, HymtlError) else asdict(outcome)
        print(f"{self._before}\n{json.dumps({'file': str(file), **found}, indent=2)}", end="", flush=True)
        self._before = ","

    def end(self) -> None:
        print("[]" if self._before == "[" else "\n]", flush=True)


class Csv:
    """A table for spreadsheets: file, label, confidence, a column of probabilities a class, error."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._lines = csv.writer(sys.stdout, lineterminator="\n")
        self._lines.writerow(["file", "label", "confidence", *(f"p({name})" for name in classes), "error"])
        self._blank = [""] * (len(classes) + 2)

    def add(self, file: Path, outcome: "Prediction | HymtlError") -> None:
        if isinstance(outcome, HymtlError):
            self._lines.writerow([printable(str(file)), *self._blank, outcome])
        else:
            numbers = [f"{value:.6f}" for value in (outcome.confidence, *outcome.probabilities.values())]
            self._lines.writerow([printable(str(file)), printable(outcome.label), *numbers, ""])
        sys.stdout.flush()

    def end(self) -> None:
        pass
