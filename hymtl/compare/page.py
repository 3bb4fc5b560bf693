"""``comparison.html``: one page that opens from disk, with everything in it and nothing fetched.

Tables are written here, so that the page reads without a script; charts are drawn by ``page.js`` from the embedded
JSON. Whatever comes from a record is escaped: names of photos, classes and settings are other people's text.
"""

import json
import math
import re
from collections.abc import Sequence
from functools import partial
from html import escape
from importlib import resources
from typing import cast

from hymtl.compare import gallery
from hymtl.compare.columns import Column, columns
from hymtl.compare.grouping import describe
from hymtl.compare.rows import Row
from hymtl.compare.runs import Found, Run
from hymtl.compare.tables import Table

CURVES_UP_TO = 40  # rows with curves; a search of hundreds would make a page of megabytes that nobody can read
_GUESSES_UP_TO = 12  # rows named under a photo
_PAIRS_OPEN = 15  # more pairs than that stay folded until asked for
_CURVES = ("train/loss", "val/loss", "train/acc", "val/acc")


def render(tables: list[Table], found: Found) -> str:
    """The whole page."""
    files = resources.files("hymtl.compare")
    data = json.dumps([_data(table) for table in tables], allow_nan=False, separators=(",", ":"))
    parts = {
        "style": files.joinpath("page.css").read_text(encoding="utf-8"),
        "script": files.joinpath("page.js").read_text(encoding="utf-8"),
        "data": data.replace("<", "\\u003c"),  # no text of a record may end the script element
        "body": _absent(found) + "".join(_section(i, table) for i, table in enumerate(tables)),
        "summary": escape(_summary(tables, found)),
    }
    template = files.joinpath("page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)  # one pass: nothing inserted is read again


def _summary(tables: list[Table], found: Found) -> str:
    rows = sum(len(table.rows) for table in tables)
    lost = f", {len(found.absent)} WITHOUT a result" if found.absent else ""
    return f"{len(found.runs)} finished runs in {rows} rows{lost}"


def _section(number: int, table: Table) -> str:
    # A setting that a search varied has a column here, to sort by.
    numbers = [Column(name, partial(_setting, name), partial(_number, name)) for name in table.numbers]
    shown = [*columns(table), *numbers]
    parts = [
        f"<h2>{escape(table.title)}</h2>",
        *(f'<p class="warning">{escape(warning)}</p>' for warning in table.warnings),
        _html_table(
            "rows",
            ["row", *(column.heading for column in shown)],
            [
                [(row.label, row.label), *((column.text(row), column.value(row)) for column in shown)]
                for row in table.rows
            ],
            swatches=True,
        ),
        *(f'<p class="note">{escape(note)}</p>' for note in table.notes),
        _pairs(table),
        '<div class="legend" role="group" aria-label="rows shown in the charts"></div>',
        '<div class="charts"></div>',
        _curves_note(table),
        _recall(table),
        _gallery(table),
        _runs(table),
    ]
    return f'<section id="table-{number}" data-table="{number}">{"".join(parts)}</section>'


def _setting(name: str, row: Row) -> str:
    value = row.settings.get(name)
    return "" if value is None else f"{value:g}"


def _number(name: str, row: Row) -> float | None:
    return cast(float | None, row.settings.get(name))


def _html_table(
    name: str, headings: list[str], lines: Sequence[Sequence[tuple[str, object]]], *, swatches: bool = False
) -> str:
    """A table that sorts by its headings; cells are (text, what to sort by)."""
    head = "".join(
        f'<th scope="col" aria-sort="none"><button type="button">{escape(h)}</button></th>' for h in headings
    )
    body = []
    for number, line in enumerate(lines):
        mark = f'<span class="swatch" data-row="{number}"></span>' if swatches else ""
        cells = [f'<th scope="row" data-value="{escape(str(line[0][1]))}">{mark}{escape(line[0][0])}</th>']
        for words, value in line[1:]:
            numeric = ' class="number"' if isinstance(value, int | float) else ""
            key = escape(str("" if value is None else value))
            cells.append(f'<td{numeric} data-value="{key}">{escape(words)}</td>')
        body.append(f"<tr>{''.join(cells)}</tr>")
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return f'<div class="scroll" role="region" aria-label="{escape(name)}" tabindex="0">{whole}</div>'


def _details(title: str, content: str, *, opened: bool = True) -> str:
    return f"<details{' open' * opened}><summary>{escape(title)}</summary>{content}</details>"


def _pairs(table: Table) -> str:
    if not table.pairs:
        return ""
    claims = [pair for pair in table.pairs if not pair.noise]
    title = f"Differences: {len(claims)} of {len(table.pairs)} are more than noise"
    lines = [
        [
            (f"{pair.first.label} against {pair.second.label}", f"{pair.first.label} {pair.second.label}"),
            (f"{pair.difference * 100:+.1f} points", pair.difference),
            ("< 0.0001" if pair.p < 1e-4 else f"{pair.p:.2g}", pair.p),
            (verdict := "within noise" if pair.noise else "more than noise", verdict),
            (str(pair.photos), pair.photos),
        ]
        for pair in table.pairs
    ]
    note = f'<p class="note">{escape(table.pairs_note)}</p>'
    table_of_pairs = _html_table("differences", ["rows", "difference", "p, adjusted", "verdict", "photos"], lines)
    return _details(title, note + table_of_pairs, opened=len(lines) <= _PAIRS_OPEN)


def _curves_note(table: Table) -> str:
    if len(table.rows) <= CURVES_UP_TO:
        return ""
    return f'<p class="note">Curves are kept of the {CURVES_UP_TO} most accurate of {len(table.rows)} rows.</p>'


def _recall(table: Table) -> str:
    rows = [(row, row.photos.recall()) for row in table.rows if row.photos]
    if not rows:
        return ""
    classes = sorted({name for _, recall in rows for name in recall})
    lines = [
        [(row.label, row.label), *((f"{r[name]:.4f}" if name in r else "", r.get(name)) for name in classes)]
        for row, r in rows
    ]
    note = '<p class="note">The share of each class\'s photos that is recognized, mean over seeds.</p>'
    return _details("Recall of each class", note + _html_table("recall", ["row", *classes], lines))


def _gallery(table: Table) -> str:
    photos = gallery.disputed(table.rows)
    if not photos:
        return ""
    roots = sorted({root for run in table.runs if (root := run.result.dataset.root)})
    pictures = {photo.photo: gallery.thumbnail(photo.photo, roots) for photo in photos}
    note = "The most divided first; a row's guess is what most of its seeds say."
    if len(table.rows) > _GUESSES_UP_TO:
        note += f" The guesses of the {_GUESSES_UP_TO} most accurate rows are shown."
    if missing := sum(picture is None for picture in pictures.values()):
        where = ", ".join(roots) or "a folder that the records don't name"
        note += f" {missing} of {len(photos)} picture files are no longer where the runs found them: {where}."
    figures = "".join(_figure(photo, pictures[photo.photo], table.rows) for photo in photos)
    return _details(
        f"Photos that rows disagree on ({len(photos)})",
        f'<p class="note">{escape(note)}</p><div class="gallery">{figures}</div>',
    )


def _figure(photo: gallery.Disputed, picture: str | None, rows: list[Row]) -> str:
    image = f'<img src="{picture}" alt="{escape(photo.photo)}">' if picture else '<div class="missing">no file</div>'
    guesses = "".join(
        f'<li class="{"right" if guess == photo.label else "wrong"}">'
        f'<span class="swatch" data-row="{i}"></span>{escape(row.label)}: {escape(guess)}</li>'
        for i, (row, guess) in enumerate(zip(rows[:_GUESSES_UP_TO], photo.guesses, strict=False))
        if guess is not None
    )
    return (
        f"<figure>{image}<figcaption><strong>is {escape(photo.label)}</strong>"
        f"<small>{escape(photo.photo)}</small><ul>{guesses}</ul></figcaption></figure>"
    )


def _runs(table: Table) -> str:
    lines = []
    for row in table.rows:
        for run in sorted(row.runs, key=lambda run: (run.seed, run.split.fold or 0)):
            differing = " ".join(describe(name, row.settings[name]) for name in table.varied if name in row.settings)
            fold = run.split.fold
            lines.append(
                [
                    (str(run.folder.name), str(run.folder)),
                    (str(run.seed) + (f", fold {fold}" if fold is not None else ""), run.seed),
                    (f"{run.accuracy:.4f}", run.accuracy),
                    (str(run.result.best.epoch), run.result.best.epoch),
                    (f"{fit:.0f}" if (fit := run.result.seconds.fit) is not None else "", fit),
                    (differing, differing),
                ]
            )
    headings = ["run folder", "seed", "accuracy", "best epoch", "fit, s", "settings that differ"]
    return _details(f"Runs ({len(lines)})", _html_table("runs", headings, lines), opened=False)


def _absent(found: Found) -> str:
    parts = []
    if found.absent:
        lines = [
            [(word, word) for word in (lost.status.upper(), " ".join(lost.overrides), lost.error, str(lost.folder))]
            for lost in found.absent
        ]
        table = _html_table("runs without a result", ["status", "overrides", "error", "run folder"], lines)
        parts.append(f'<section class="absent"><h2>Without a result ({len(lines)})</h2>{table}</section>')
    parts += [f'<p class="warning">{escape(warning)}</p>' for warning in found.warnings]
    return "".join(parts)


def _data(table: Table) -> dict:
    """What the charts of a table are drawn from; accuracies as fractions, latencies in ms, sizes in MB."""
    return {
        "rows": [_row(row, with_curves=i < CURVES_UP_TO) for i, row in enumerate(table.rows)],
        "numbers": table.numbers,
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
    history = run.result.history
    return {name: [_short(value) for value in history[name]] for name in _CURVES if name in history}


def _short(value: float | None) -> float | None:
    """Four digits are more than a chart shows; JSON has no NaN or infinity, which a diverged run logs."""
    return float(f"{value:.4g}") if isinstance(value, int | float) and math.isfinite(value) else None
