"""The command `hymtl`: what to do with a finished run."""

import argparse
import sys
from pathlib import Path

from hymtl.errors import HymtlError


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command and return the exit code: 0, or 1 where something of the input was refused."""
    parser = argparse.ArgumentParser(prog="hymtl", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    predict = commands.add_parser("predict", help="classify pictures with the artifact of a run")
    predict.add_argument("run", type=Path, help="a run's folder, or the artifact in it")
    predict.add_argument("pictures", type=Path, nargs="+", help="picture files and folders of them")
    predict.set_defaults(function=_predict)
    compare = commands.add_parser("compare", help="tables, statistics and a page of many runs")
    compare.add_argument(
        "folders", type=Path, nargs="+", metavar="DIR", help="runs' folders, or folders that contain them"
    )
    compare.add_argument(
        "--out", type=Path, metavar="DIR", help="where comparison.csv, .md and .html go; else the first DIR"
    )
    compare.set_defaults(function=_compare)
    options = parser.parse_args(arguments)
    try:
        return options.function(options)
    except HymtlError as error:
        print(f"hymtl: {error}", file=sys.stderr)
        return 1


def _predict(options: argparse.Namespace) -> int:
    from hymtl.predict import predict_files  # here, so that --help does not wait for torch

    failed = 0
    for file, outcome in predict_files(options.run, options.pictures):
        if isinstance(outcome, HymtlError):
            failed += 1
            print(f"hymtl: {outcome}", file=sys.stderr)
        else:
            label, confidence = outcome
            print(f"{label:<12} {confidence:7.2%}  {file}")
    return 1 if failed else 0


def _compare(options: argparse.Namespace) -> int:
    from hymtl.report import comparison  # here, so that --help does not wait for scipy

    print(comparison.compare(options.folders, options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
