"""Many runs compared: tables for the terminal, and ``comparison.csv``, ``.md`` and ``.html``."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from hymtl import records
from hymtl.compare import choice, grouping, page, runs
from hymtl.compare.columns import columns
from hymtl.compare.rows import Row
from hymtl.compare.runs import Absent, Found
from hymtl.compare.tables import Table
from hymtl.errors import HymtlError, printable
from hymtl.files import WriteError, clear_leftovers, write_whole
from hymtl.records import choice as choice_record
from hymtl.records.choice import Choice, Limits

NAME = "comparison"
_LISTED = 25  # rows, pairs and lost runs in words; the CSV and the page have them all


def compare(folders: Iterable[Path | str], out: Path | str | None = None, limits: Limits | None = None) -> str:
    """Compare the runs in and below ``folders``; return the text to print.

    ``comparison.csv``, ``comparison.md`` and ``comparison.html`` are written to ``out``, by default the first folder.
    Failed, unfinished and unreadable runs are listed, never an error. With ``limits`` a row of each table is chosen;
    without, the choice that a race left in one of the folders, or in ``out``, is shown.

    Raises:
        HymtlError: if a folder is missing, no run is found at all, or ``out`` cannot be written to; with ``limits``, if
            no row of any table keeps them, or no run is finished.
    """
    paths = [Path(folder) for folder in folders]
    found = _presentable(runs.find(paths))
    tables = grouping.tables(found.runs, found.absent)
    out = Path(out or paths[0])
    choices = _decided(tables, limits, found) if limits else _made([*paths, out], found)
    files = [out / f"{NAME}.{kind}" for kind in ("csv", "md", "html")]
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write_csv(files[0], tables, found.absent)
        clear_leftovers(out)
        write_whole(files[1], markdown(tables, found, choices))
        write_whole(files[2], printable(page.render(tables, found, choices)))
    except OSError as error:
        raise WriteError(f"--out {out}", error) from error
    return f"{text(tables, found, choices)}\n\n" + "\n".join(f"written  {file}" for file in files)


def _decided(tables: list[Table], limits: Limits, found: Found) -> list[Choice]:
    """A choice of each table; why there is none of one, where there are others, is a warning."""
    if not tables:
        raise HymtlError(f"{headline(found)}: there is nothing to choose from.")
    made, reasons = [], []
    for table in tables:
        try:
            made.append(choice.decide(table, limits))
        except HymtlError as error:
            reasons.append(f"{table.title}: {error}" if len(tables) > 1 else str(error))
    if reasons and not made:
        raise HymtlError("\n".join(reasons))
    found.warnings += reasons
    return made


def _made(folders: Iterable[Path], found: Found) -> list[Choice]:
    """What races chose in these folders; a record that cannot be read is a warning."""
    files = [file for file in dict.fromkeys(folder / choice_record.FILE for folder in folders) if file.is_file()]
    made = {file: records.found(Choice, file) for file in files}
    found.warnings += [
        f"{file} cannot be read. The race's command writes it anew." for file in files if made[file] is None
    ]
    return [one for one in made.values() if one]


def _presentable(found: Found) -> Found:
    """Without the runs whose records, though each field is in its range, make no table: they are listed as such."""
    kept = Found(winners=found.winners, absent=found.absent, warnings=found.warnings)
    for run in found.runs:
        alone = Found([run])
        try:
            tables = grouping.tables([run])
            text(tables, alone), page.render(tables, alone)
        except Exception as error:  # whatever statistics and formats say of numbers that no run ever had
            reason = f"its record makes no table: {type(error).__name__}: {error}"
            kept.absent.append(Absent(run.folder, "unreadable", reason, run.overrides))
        else:
            kept.runs.append(run)
    return kept


def headline(found: Found) -> str:
    """How many runs there are, and how many of them have no result."""
    counts = [f"{len(found.runs)} finished run{'s' * (len(found.runs) != 1)}"]
    for status in ("failed", "unfinished", "unreadable"):
        count = sum(lost.status == status for lost in found.absent)
        if count:
            counts.append(f"{count} {status.upper()}")
    return ", ".join(counts)


def text(tables: list[Table], found: Found, choices: Iterable[Choice] = ()) -> str:
    """For a terminal."""
    lines = ["", *(line for made in choices for line in (f"Choice: {made.data}", *made.sentences, "")), headline(found)]
    for table in tables:
        shown = columns(table)
        cells = [["", *(column.heading for column in shown)]]
        cells += [[row.label, *(column.text(row) for column in shown)] for row in table.rows[:_LISTED]]
        widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
        lines += ["", table.title, *(f"!!! {warning}" for warning in table.warnings), ""]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
        ]
        lines += _more(len(table.rows)) + ["", *table.notes]
        if table.learning_curves:
            lines += ["", "Would more training pictures help?", *(f"  {curve}" for curve in table.learning_curves)]
        if table.pairs:
            lines += ["", table.pairs_note, *(f"  {sentence}" for sentence in _sentences(table))]
    if found.absent:
        lines += ["", "Without a result:", *(f"  {_lost(lost)}" for lost in found.absent[:_LISTED])]
        lines += _more(len(found.absent))
    lines += [f"!!! {warning}" for warning in found.warnings]
    return printable("\n".join(lines))


def _more(count: int) -> list[str]:
    return [f"  ... and {count - _LISTED} more, in the files"] if count > _LISTED else []


def _sentences(table: Table) -> list[str]:
    """The pairs in words; of many, those that are more than noise, and how many are not."""
    if len(table.pairs) <= _LISTED:
        return [str(pair) for pair in table.pairs]
    claims = [pair for pair in table.pairs if not pair.noise]
    hidden = f"... and {len(claims) - _LISTED} more that are more than noise"
    return [
        *(str(pair) for pair in claims[:_LISTED]),
        *([hidden] if len(claims) > _LISTED else []),
        f"{len(table.pairs) - len(claims)} of {len(table.pairs)} differences are within noise",
    ]


def _lost(lost: Absent) -> str:
    return f"{lost.status.upper()}  {' '.join(lost.overrides) or lost.folder}: {_first_line(lost.error)}"


def _first_line(error: str) -> str:
    return next((line for line in error.splitlines() if line.strip()), error)


def markdown(tables: list[Table], found: Found, choices: Iterable[Choice] = ()) -> str:
    """For a README or an issue."""
    lines = ["# Comparison", ""]
    for made in choices:
        lines += [f"## Choice: {_cell(made.data)}", "", *(f"- {_cell(sentence)}" for sentence in made.sentences), ""]
    lines += [headline(found)]
    for table in tables:
        shown = columns(table)
        lines += ["", f"## {_cell(table.title)}", "", *(f"**{_cell(warning)}**\n" for warning in table.warnings)]
        lines += [_line(["", *(column.heading for column in shown)]), _line(["---"] * (len(shown) + 1))]
        lines += [_line([row.label, *(column.text(row) for column in shown)]) for row in table.rows]
        lines += ["", *table.notes]
        if table.learning_curves:
            lines += ["", "Would more training pictures help?", ""]
            lines += [f"- {_cell(str(curve))}" for curve in table.learning_curves]
        if table.pairs:
            lines += ["", table.pairs_note, "", *(f"- {_cell(sentence)}" for sentence in _sentences(table))]
    if found.absent:
        lines += ["", "## Without a result", "", _line(["run", "status", "overrides", "error"]), _line(["---"] * 4)]
        lines += [
            _line([str(lost.folder), lost.status.upper(), " ".join(lost.overrides), _first_line(lost.error)])
            for lost in found.absent
        ]
    lines += ["", *(f"- **{_cell(warning)}**" for warning in found.warnings)] if found.warnings else []
    return printable("\n".join(lines) + "\n")


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(words: str) -> str:
    """One line of Markdown that means these words and nothing else."""
    for mark in "\\|<>*_`[]":
        words = words.replace(mark, f"\\{mark}")
    return " ".join(words.split())


FIELDS = (
    "table", "row", "status", "seeds", "runs", "photos", "accuracy", "accuracy_sd", "accuracy_min", "accuracy_max",
    "interval_low", "interval_high", "balanced_accuracy", "macro_f1", "ece_raw", "ece", "ece_float", "trained_accuracy",
    "best_epoch_chosen_on", "test_accuracy", "bytes",
    "seconds_photo", "seconds_fit", "notes", "folders",
)  # fmt: skip


def _write_csv(file: Path, tables: list[Table], absent: list[Absent]) -> None:
    """One line a row, then one line a run without a result; accuracies are fractions, sizes bytes, times seconds."""
    stream = io.StringIO()
    lines = csv.DictWriter(stream, FIELDS)
    lines.writeheader()
    for table in tables:
        lines.writerows(_record(table, row) for row in table.rows)
    for lost in absent:
        words = {
            "row": " ".join(lost.overrides),
            "status": lost.status,
            "notes": lost.error,
            "folders": lost.folder,
        }
        lines.writerow(words)
    write_whole(file, printable(stream.getvalue().replace("\r\n", "\n")))


def _record(table: Table, row: Row) -> dict:
    low, high = row.interval
    several = any(run.result.epochs > 1 for run in row.runs)
    return {
        "table": table.title,
        "row": row.label,
        "status": "finished",
        "seeds": len(row.seeds),
        "runs": len(row.runs),
        "photos": row.photo_count,
        "accuracy": row.accuracy.mean,
        "accuracy_sd": row.accuracy.deviation,
        "accuracy_min": row.accuracy.low,
        "accuracy_max": row.accuracy.high,
        "interval_low": low,
        "interval_high": high,
        "balanced_accuracy": row.balanced_accuracy,
        "macro_f1": row.macro_f1,
        **dict(zip(("ece_raw", "ece", "ece_float"), row.calibration_error or (None, None, None), strict=True)),
        "trained_accuracy": row.trained_accuracy,
        "best_epoch_chosen_on": "the photos of accuracy" if several else "",  # which flatters it
        "test_accuracy": row.test_accuracy,
        "bytes": row.size,
        "seconds_photo": row.latency and row.latency.mean,
        "seconds_fit": row.fit_seconds and row.fit_seconds.mean,
        "notes": "; ".join(row.notes),
        "folders": " ".join(str(run.folder) for run in row.runs),
    }
