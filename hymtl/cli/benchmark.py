"""`hymtl benchmark`: how fast runs and what was exported of them are on this machine."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hymtl.runtime import threads_in_words

if TYPE_CHECKING:
    from hymtl.records.benchmark import Benchmark, Contender, Time

ABOUT = (
    "Time the networks of runs, in float and in int8, and every file exported of them, in turns on this "
    "machine. Prints a table, and leaves benchmark.json in each run's folder, which hymtl predict and "
    "hymtl compare go by."
)


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the sub-command and its options."""
    parser = commands.add_parser(
        "benchmark", help="time runs and what was exported of them, side by side", description=ABOUT
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="runs' folders")
    parser.set_defaults(function=run)


def run(options: argparse.Namespace) -> int:
    """Print a table, then write ``benchmark.json`` into each run's folder."""
    from tqdm import tqdm

    from hymtl import records
    from hymtl.deploy import benchmark  # here, so that --help does not wait for torch
    from hymtl.records.benchmark import FILE

    folders = list(dict.fromkeys(options.runs))
    made = benchmark.run(folders, lambda rounds: tqdm(rounds, unit=" rounds", disable=not sys.stderr.isatty()))
    print(_table(made))
    for folder, found in made.items():
        for reason in found.left_out:
            print(f"hymtl: not timed: {reason}", file=sys.stderr)
        records.write(found, folder / FILE)
    return 0


def _table(made: "dict[Path, Benchmark]") -> str:
    first = next(iter(made.values()))
    head = ["runtime", "ms, one picture", "pictures/s by 16", "by 32", "peak MB", "file MB", "run"]
    rows = [
        [c.name, _spread(c.at(1), 1e3), *(_rate(c, size) for size in (16, 32)),
         "" if c.memory is None else f"{c.memory / 1e6:.0f}", f"{c.bytes / 1e6:.1f}", str(folder)]
        for folder, found in made.items()
        for c in found.contenders
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]
    rounds = first.contenders[0].at(1).rounds
    said = f"{first.cpu}, {threads_in_words(first.threads)}; median of {rounds} rounds (quartiles)"
    return "\n".join([said, "", *lines, "", *_verdicts(made)])


def _verdicts(made: "dict[Path, Benchmark]") -> list[str]:
    """Of each batch the fastest of those that say what a run says, and who cannot be told from it."""
    every = [
        (c, f"{c.name} of {folder}" if len(made) > 1 else c.name) for folder, b in made.items() for c in b.contenders
    ]
    lines = []
    for size in (1, 16, 32):
        best, name = min(every, key=lambda pair: pair[0].at(size).median)
        same = [other for c, other in every if c is not best and not c.at(size).differs(best.at(size))]
        lines.append(f"batch {size}: {name} is fastest" + (f"; no difference to {', '.join(same)}" if same else ""))
    return lines


def _spread(time: "Time", scale: float) -> str:
    return f"{time.median * scale:.1f} ({time.low * scale:.1f} to {time.high * scale:.1f})"


def _rate(contender: "Contender", size: int) -> str:
    time = contender.at(size)
    return f"{size / time.median:.0f} ({size / time.high:.0f} to {size / time.low:.0f})"
