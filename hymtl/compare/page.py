"""``comparison.html``: one page that opens from disk, with everything in it and nothing fetched.

``page.html`` writes the tables, so that the page reads without a script; ``page.js`` draws the charts from the embedded
JSON. Here is what they say, as text and numbers.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, cast

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hymtl.compare import gallery, statistics
from hymtl.compare.columns import Column, columns
from hymtl.compare.grouping import describe
from hymtl.compare.rows import Photos, Row
from hymtl.compare.runs import Found, Run
from hymtl.compare.tables import Table
from hymtl.records.choice import Choice

CURVES_UP_TO = 40  # rows with curves; a search of hundreds would make a page of megabytes that nobody can read
_GUESSES_UP_TO = 12  # rows named under a photo
_PAIRS_OPEN = 15  # more pairs than that stay folded until asked for
_CURVES = ("train/loss", "val/loss", "train/acc", "val/acc")


class Cell(NamedTuple):
    """``text`` is what a reader sees, ``value`` what the column is sorted by: a number, words, or None."""

    text: str
    value: object


class Grid(NamedTuple):
    """A table of the page; ``swatches`` colour its lines as the charts do."""

    name: str
    headings: list[str]
    lines: list[list[Cell]]
    swatches: bool = False


class Figure(NamedTuple):
    """A photo, what it is, and of some rows their number, their label and what they say it is."""

    name: str
    label: str
    picture: str | None  # a data URI; None where the file is gone
    guesses: list[tuple[int, str, str]]


class Gallery(NamedTuple):
    """The photos that rows disagree on, and how to read them."""

    figures: list[Figure]
    note: str


def render(tables: list[Table], found: Found, choices: Sequence[Choice] = ()) -> str:
    """The whole page, with what was chosen first."""
    loader = PackageLoader("hymtl.compare", "")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    source = partial(_source, environment, loader)
    return environment.get_template("page.html").render(
        style=source("page.css"),
        script=source("page.js"),
        choices=choices,
        tables=tables,
        found=found,
        data=[_data(table) for table in tables],
        curves_up_to=CURVES_UP_TO,
        absent=_absent,
        rows=_rows,
        pairs=_pairs,
        pairs_open=_PAIRS_OPEN,
        recall=_recall,
        gallery=_gallery,
        runs=_runs,
    )


def _source(environment: Environment, loader: PackageLoader, name: str) -> Markup:
    """A file of ours as it is: its braces are no template's."""
    return Markup(loader.get_source(environment, name)[0])


def _absent(found: Found) -> Grid:
    lines = [
        [Cell(word, word) for word in (lost.status.upper(), " ".join(lost.overrides), lost.error, str(lost.folder))]
        for lost in found.absent
    ]
    return Grid("runs without a result", ["status", "overrides", "error", "run folder"], lines)


def _rows(table: Table) -> Grid:
    # A setting that a search varied has a column here, to sort by.
    numbers = [Column(name, partial(_setting, name), partial(_number, name)) for name in table.numbers]
    shown = [*columns(table), *numbers]
    lines = [
        [Cell(row.label, row.label), *(Cell(column.text(row), column.value(row)) for column in shown)]
        for row in table.rows
    ]
    return Grid("rows", ["row", *(column.heading for column in shown)], lines, swatches=True)


def _setting(name: str, row: Row) -> str:
    value = row.settings.get(name)
    return "" if value is None else f"{value:g}"


def _number(name: str, row: Row) -> float | None:
    return cast(float | None, row.settings.get(name))


def _pairs(table: Table) -> Grid:
    lines = []
    for pair in table.pairs:
        first, second, verdict = (
            pair.first.label,
            pair.second.label,
            "within noise" if pair.noise else "more than noise",
        )
        lines.append(
            [
                Cell(f"{first} against {second}", f"{first} {second}"),
                Cell(f"{pair.difference * 100:+.1f} points", pair.difference),
                Cell("< 0.0001" if pair.p < 1e-4 else f"{pair.p:.2g}", pair.p),
                Cell(verdict, verdict),
                Cell(str(pair.photos), pair.photos),
            ]
        )
    return Grid("differences", ["rows", "difference", "p, adjusted", "verdict", "photos"], lines)


def _recall(table: Table) -> Grid:
    rows = [(row, row.photos) for row in table.rows if row.photos]
    classes = sorted({name for _, photos in rows for name in photos.labels})
    lines = [
        [
            Cell(row.label, row.label),
            *(Cell(_with_interval(photos, name), photos.recall().get(name)) for name in classes),
        ]
        for row, photos in rows
    ]
    return Grid("recall", ["row", *classes], lines)


def _with_interval(photos: Photos, name: str) -> str:
    recall = photos.recall().get(name)
    if recall is None:
        return ""
    low, high = statistics.wilson(recall, photos.labels.count(name))
    return f"{recall:.4f} ({low:.2f}–{high:.2f})"


def _gallery(table: Table) -> Gallery:
    roots = sorted({root for run in table.runs if (root := run.result.dataset.root)})
    figures = [
        Figure(photo.photo, photo.label, gallery.thumbnail(photo.photo, roots), _guesses(photo, table.rows))
        for photo in gallery.disputed(table.rows)
    ]
    note = "The most divided first; a row's guess is what most of its seeds say."
    if len(table.rows) > _GUESSES_UP_TO:
        note += f" The guesses of the {_GUESSES_UP_TO} most accurate rows are shown."
    if missing := sum(figure.picture is None for figure in figures):
        where = ", ".join(roots) or "a folder that the records don't name"
        note += f" {missing} of {len(figures)} picture files are no longer where the runs found them: {where}."
    return Gallery(figures, note)


def _guesses(photo: gallery.Disputed, rows: list[Row]) -> list[tuple[int, str, str]]:
    said = zip(rows[:_GUESSES_UP_TO], photo.guesses, strict=False)
    return [(i, row.label, guess) for i, (row, guess) in enumerate(said) if guess is not None]


def _runs(table: Table) -> Grid:
    lines = []
    for row in table.rows:
        for run in sorted(row.runs, key=lambda run: (run.seed, run.split.fold or 0)):
            differing = " ".join(describe(name, row.settings[name]) for name in table.varied if name in row.settings)
            fold, fit = run.split.fold, run.result.seconds.fit
            lines.append(
                [
                    Cell(run.folder.name, str(run.folder)),
                    Cell(str(run.seed) + (f", fold {fold}" if fold is not None else ""), run.seed),
                    Cell(f"{run.accuracy:.4f}", run.accuracy),
                    Cell(str(run.result.best.epoch), run.result.best.epoch),
                    Cell("" if fit is None else f"{fit:.0f}", fit),
                    Cell(differing, differing),
                ]
            )
    return Grid("runs", ["run folder", "seed", "accuracy", "best epoch", "fit, s", "settings that differ"], lines)


def _data(table: Table) -> dict:
    """What the charts of a table are drawn from; accuracies as fractions, latencies in ms, sizes in MB."""
    return {
        "rows": [_row(row, with_curves=i < CURVES_UP_TO) for i, row in enumerate(table.rows)],
        "numbers": table.numbers,
        "learning": [
            {"label": curve.label, "pictures": curve.pictures, "rows": curve.places} for curve in table.learning_curves
        ],
    }


def _row(row: Row, *, with_curves: bool) -> dict:
    return {
        "label": row.label,
        "accuracy": _short(row.accuracy.mean),
        "interval": [_short(bound) for bound in row.interval],
        "ms": [_short(ms * 1e3) for ms in (row.latency.mean, row.latency.low, row.latency.high)]
        if row.latency
        else None,
        "mb": _short(row.size / 1e6),
        "curves": [_curves(run) for run in row.runs if run.result.history] if with_curves else [],
    }


def _curves(run: Run) -> dict:
    """Of each curve the epochs, from 0, and the values."""
    known = run.result.curves
    return {name: [epochs, [_short(v) for v in values]] for name, (epochs, values) in known.items() if name in _CURVES}


def _short(value: float) -> float:
    """Four digits are more than a chart shows."""
    return float(f"{value:.4g}")
