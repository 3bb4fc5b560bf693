"""`hymtl predict`: classify pictures with the artifact of a run."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from hymtl.errors import HymtlError

if TYPE_CHECKING:
    from hymtl.deploy.predict import Predictor


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the sub-command and its options."""
    parser = commands.add_parser("predict", help="classify pictures with the artifact of a run")
    parser.add_argument("run", type=Path, help="a run's folder, or the artifact in it")
    parser.add_argument("pictures", type=Path, nargs="+", help="picture files and folders of them")
    parser.add_argument("--json", action="store_true", help="print JSON: all probabilities, and what was refused")
    parser.add_argument("--gallery", type=Path, metavar="OUT.png", help="draw the pictures and their predictions")
    parser.set_defaults(function=run)


def run(options: argparse.Namespace) -> int:
    """Print a line a picture; 1 where some were refused, each named on standard error."""
    missing = {path: HymtlError(f"{path}: there is no such file or folder.") for path in _missing(options)}
    import hymtl  # torch comes with it: here, so that --help and these refusals do not wait

    predictor = hymtl.load(options.run)
    found = predictor.files(path for path in options.pictures if path not in missing)
    outcomes = {**missing, **dict(found)}
    refused = {file: outcome for file, outcome in outcomes.items() if isinstance(outcome, HymtlError)}
    predictions = {file: outcome for file, outcome in outcomes.items() if not isinstance(outcome, HymtlError)}
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


def _missing(options: argparse.Namespace) -> list[Path]:
    """Pictures that there are not.

    Raises:
        HymtlError: if there is no such run, or none of the pictures.
    """
    if not options.run.is_dir():
        raise HymtlError(f"{options.run}: there is no such folder. Give a run's folder or the artifact in it.")
    missing = [path for path in options.pictures if not path.exists()]
    if len(missing) == len(options.pictures):
        raise HymtlError(f"{', '.join(map(str, missing))}: there is no such file or folder.")
    return missing


def _table(predictions: dict) -> str:
    """Class and confidence first, as they are short, then the file."""
    width = max(5, *(len(prediction.label) for prediction in predictions.values()))
    rows = [f"{'class':<{width}}  confidence  file"]
    rows += [f"{p.label:<{width}}  {p.confidence:>10.2%}  {file}" for file, p in predictions.items()]
    return "\n".join(rows)


def _draw_gallery(out: Path, predictor: "Predictor", predictions: dict) -> None:
    import torch

    from hymtl.pictures import figures

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
