"""The columns of a comparison, the same in the terminal, in Markdown and on the page."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hymtl.compare.rows import Row
from hymtl.compare.tables import Table

_ERRORS = ("ECE raw", "ECE", "ECE float")  # expected calibration errors: of Row.calibration_error, in its order


@dataclass(frozen=True)
class Column:
    """``text`` is what a reader sees of a row, ``value`` what it is sorted by."""

    heading: str
    text: Callable[[Row], str]
    value: Callable[[Row], float | str | None]


def columns(table: Table) -> list[Column]:
    """What a table shows of a row, but for its label; columns that no row fills are left out."""
    every = [
        Column("accuracy", lambda row: f"{row.accuracy.mean:.4f}", lambda row: row.accuracy.mean),
        Column("seeds", lambda row: str(len(row.seeds)), lambda row: len(row.seeds)),
        Column("± over seeds", _deviation, lambda row: row.accuracy.deviation),
        Column("range", _range, lambda row: row.accuracy.low),
        Column("95 % interval", lambda row: "{:.3f}–{:.3f}".format(*row.interval), lambda row: row.interval[0]),
        Column("balanced", lambda row: _four(row.balanced_accuracy), lambda row: row.balanced_accuracy),
        Column("macro F1", lambda row: _four(row.macro_f1), lambda row: row.macro_f1),
        *(
            Column(heading, partial(_error, which), partial(_error_value, which))
            for which, heading in enumerate(_ERRORS)
        ),
        Column("as trained", lambda row: f"{row.trained_accuracy:.4f}", lambda row: row.trained_accuracy),
        Column("test", lambda row: _four(row.test_accuracy), lambda row: row.test_accuracy),
        Column("MB", lambda row: f"{row.size / 1e6:.1f}", lambda row: row.size),
        Column("ms a photo", _latency, lambda row: row.latency.mean if row.latency else None),
        Column("fit, s", _fit, lambda row: row.fit_seconds.mean if row.fit_seconds else None),
        Column("notes", lambda row: "; ".join(row.notes), lambda row: "; ".join(row.notes)),
    ]
    return [column for column in every if any(column.text(row) for row in table.rows)]


def _error_value(which: int, row: Row) -> float | None:
    return row.calibration_error and row.calibration_error[which]


def _error(which: int, row: Row) -> str:
    return _four(_error_value(which, row))


def _four(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _deviation(row: Row) -> str:
    return "" if row.accuracy.deviation is None else f"{row.accuracy.deviation:.4f}"


def _range(row: Row) -> str:
    return "" if row.accuracy.deviation is None else f"{row.accuracy.low:.3f}–{row.accuracy.high:.3f}"


def _fit(row: Row) -> str:
    return f"{row.fit_seconds.mean:.0f}" if row.fit_seconds else ""


def _latency(row: Row) -> str:
    return f"{row.latency.mean * 1e3:.1f}" if row.latency else ""
