"""The command `hymtl`: what to do with a finished run."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from hymtl.errors import HymtlError


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command and return the exit code: 0, or 1 where something of the input was refused."""
    parser = argparse.ArgumentParser(prog="hymtl", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    predict = commands.add_parser("predict", help="classify pictures with the artifact of a run")
    predict.add_argument("run", type=Path, help="a run's folder, or the artifact in it")
    predict.add_argument("pictures", type=Path, nargs="+", help="picture files and folders of them")
    predict.add_argument("--json", action="store_true", help="print JSON: all probabilities, and what was refused")
    predict.add_argument("--gallery", type=Path, metavar="OUT.png", help="draw the pictures and their predictions")
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
    import hymtl  # torch comes with it: here, so that --help does not wait

    predictor = hymtl.load(options.run)
    outcomes = dict(predictor.files(options.pictures))
    refused = {file: outcome for file, outcome in outcomes.items() if isinstance(outcome, HymtlError)}
    predictions = {file: outcome for file, outcome in outcomes.items() if file not in refused}
    if options.json:
        rows = [{"file": str(file), **asdict(prediction)} for file, prediction in predictions.items()]
        rows += [{"file": str(file), "error": str(error)} for file, error in refused.items()]
        print(json.dumps(rows, indent=2))
    elif predictions:
        print(_table(predictions))
    for error in refused.values():
        print(f"hymtl: {error}", file=sys.stderr)
    if options.gallery:
        _draw_gallery(options.gallery, predictor, predictions)
    if not outcomes:
        raise HymtlError(f"{', '.join(map(str, options.pictures))}: there are no files in it.")
    return 1 if refused else 0


def _table(predictions: dict) -> str:
    """Class and confidence first, as they are short, then the file."""
    width = max(5, *(len(prediction.label) for prediction in predictions.values()))
    rows = [f"{'class':<{width}}  confidence  file"]
    rows += [f"{p.label:<{width}}  {p.confidence:>10.2%}  {file}" for file, p in predictions.items()]
    return "\n".join(rows)


def _draw_gallery(out: Path, predictor: object, predictions: dict) -> None:
    import torch

    from hymtl.report import figures

    if not predictions:
        raise HymtlError(f"--gallery {out}: there is no picture to draw.")
    captions = [f"{p.label} {p.confidence:.0%}\n{file.name[:22]}" for file, p in predictions.items()]
    pictures = torch.stack([predictor.prepare(file) for file in predictions])
    title = f"{predictor.artifact.backbone}, {predictor.artifact.strategy['name']}"
    figure = figures.photo_grid(pictures, captions, ["black"] * len(captions), title)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=figures.DPI)
    except (OSError, ValueError) as error:
        raise HymtlError(f"--gallery {out} cannot be written: {error}") from error


def _compare(options: argparse.Namespace) -> int:
    from hymtl.report import comparison  # here, so that --help does not wait for scipy

    print(comparison.compare(options.folders, options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
