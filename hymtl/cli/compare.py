"""`hymtl compare`: tables, statistics and a page of many runs."""

import argparse
from pathlib import Path

ABOUT = (
    "Pool seeds and folds, compare what was varied photo by photo, and print the table. Writes "
    "comparison.csv, .md and .html, one page that opens from disk."
)


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the sub-command and its options."""
    parser = commands.add_parser("compare", help="tables, statistics and a page of many runs", description=ABOUT)
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="DIR", help="runs' folders, or folders that contain them"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where comparison.csv, .md and .html go; else the first DIR"
    )
    parser.add_argument(
        "--choose",
        nargs="*",
        metavar="LIMIT",
        help="say which row to ship: the cheapest that lacks no more than margin=0.01 and one standard error of the "
        "most accurate, within max_ms=NUMBER and max_mb=NUMBER where given",
    )
    parser.set_defaults(function=run)


def run(options: argparse.Namespace) -> int:
    """Print the comparison and write its files."""
    from hymtl.compare import comparison  # here, so that --help does not wait for scipy
    from hymtl.records import choice

    limits = None if options.choose is None else choice.limits_of_words(options.choose)
    print(comparison.compare(options.folders, options.out, limits))
    return 0
