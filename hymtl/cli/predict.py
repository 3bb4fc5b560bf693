"""`hymtl predict`: classify pictures with the artifact of a run."""

import argparse
import contextlib
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hymtl import signals
from hymtl.cli.rows import Csv, Json, Rows, Table
from hymtl.errors import HymtlError
from hymtl.files import WriteError, writing

if TYPE_CHECKING:
    from tqdm import tqdm

    from hymtl.deploy.predict import Prediction, Predictor

GALLERY = 200  # pictures drawn at most
CODES = "exit code: 0 all classified, 1 some refused, 2 wrong usage, 130 (129, 143) interrupted, with what there was"

ABOUT = "Classify pictures with what a run leaves. Prints a row for each: class, confidence, file."


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the sub-command and its options."""
    parser = commands.add_parser(
        "predict", help="classify pictures with the artifact of a run", description=ABOUT, epilog=CODES
    )
    parser.add_argument("run", type=Path, help="a run's folder, or the artifact in it")
    parser.add_argument(
        "pictures", type=Path, nargs="+", help="picture files and folders of them; - reads names from standard input"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON: all probabilities, and what was refused")
    form.add_argument("--csv", action="store_true", help="print CSV: the same as a table")
    parser.add_argument(
        "--gallery", type=Path, metavar="OUT.png", help=f"draw the first {GALLERY} pictures and their predictions"
    )
    parser.add_argument(
        "--runtime",
        default="auto",
        help="auto (what hymtl benchmark found fastest here, else torch), torch, onnxruntime, openvino",
    )
    parser.add_argument(
        "--unsure", type=probability, metavar="0.8", help="answer 'unsure' where the confidence is less than this"
    )
    parser.set_defaults(function=run)


def run(options: argparse.Namespace) -> int:
    """Print a row a picture, as they come; what was refused is named on standard error. See ``CODES``."""
    paths = _names(options.pictures)
    _check(options.run, paths)
    import hymtl  # torch comes with it: here, so that --help and these refusals do not wait
    from hymtl.deploy.predict import UNSURE, listed

    predictor = hymtl.load(options.run, runtime=options.runtime)
    rows: Rows = (Json if options.json else Csv if options.csv else Table)(predictor.classes)
    drawn: dict[Path, Prediction] = {}
    seen = refused = unsure = 0
    interrupted = 0
    try:
        files = listed(paths)
        with _progress(len(files)) as bar:
            for file, outcome in predictor.files(files):
                if options.unsure is not None and not isinstance(outcome, HymtlError):
                    outcome = outcome.or_unsure(options.unsure)
                    unsure += outcome.label == UNSURE
                rows.add(file, outcome)
                bar.update()
                seen += 1
                if isinstance(outcome, HymtlError):
                    refused += 1
                    bar.write(f"hymtl: {outcome}", file=sys.stderr)
                elif options.gallery and len(drawn) < GALLERY:
                    drawn[file] = outcome
    except (KeyboardInterrupt, signals.Stopped) as stop:
        interrupted = stop.status if isinstance(stop, signals.Stopped) else 130
        print(f"hymtl: interrupted after {seen} pictures, all of them above", file=sys.stderr)
    rows.end()
    if options.unsure is not None:
        _explain(options.unsure, unsure, seen - refused, predictor)
    if options.gallery:
        _draw_gallery(options.gallery, predictor, drawn, seen - refused)
    if interrupted:
        return interrupted
    if not seen:
        raise HymtlError(f"{', '.join(map(str, options.pictures))}: there are no files in it.")
    return 1 if refused else 0


def _names(pictures: list[Path]) -> list[Path]:
    """The names of pictures and folders, those from standard input, a line each, where one is ``-``."""
    names = []
    for path in pictures:
        if str(path) == "-":  # bytes: a name may be any, and end lines of other kinds in its midst
            lines = [line.rstrip(b"\r") for line in sys.stdin.buffer.read().split(b"\n")]
            names += [Path(os.fsdecode(line)) for line in lines if line]
        else:
            names.append(path)
    return names


def _progress(total: int) -> "tqdm":
    """On standard error, for people who do not see the rows themselves go by."""
    from tqdm import tqdm

    hidden = sys.stdout.isatty() or not sys.stderr.isatty()
    # Terminals of no size, as `script` makes, are given the usual one.
    columns, lines = shutil.get_terminal_size()
    return tqdm(total=total, unit=" pictures", disable=hidden, ncols=columns, nrows=lines)


def _check(run: Path, paths: list[Path]) -> None:
    """
    Raises:
        HymtlError: if there is no such run, or none of the pictures.
    """
    if not os.path.isdir(run):
        raise HymtlError(f"{run}: there is no such folder. Give a run's folder or the artifact in it.")
    if not paths:
        raise HymtlError("Standard input names no picture. Give one a line.")
    if not any(map(os.path.exists, paths)):
        raise HymtlError(f"{', '.join(map(str, paths[:10]))}: there is no such file or folder.")


def probability(text: str) -> float:
    """A word of the command line that is one."""
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text} is no probability: give a number from 0 to 1")


def _explain(below: float, count: int, of: int, predictor: "Predictor") -> None:
    """How many are unsure here, and, where the artifact knows, what to expect of the others."""
    print(f"unsure below {below:g}: {count} of {of} pictures", file=sys.stderr)
    for known in predictor.artifact.scores.get("unsure", ()):
        if known["below"] == below:
            photos = known["photos"] + known["rest"]
            rest = f"{known['right']} of the other {known['rest']} right"
            print(f"of {photos} validation photos: {known['photos']} unsure, {rest}", file=sys.stderr)


def _draw_gallery(out: Path, predictor: "Predictor", predictions: "dict[Path, Prediction]", of: int) -> None:
    """The first pictures: thousands would take a picture that no program opens."""
    import torch

    from hymtl.pictures import figures

    if not predictions:
        raise HymtlError(f"--gallery {out}: there is no picture to draw.")
    captions = [f"{p.label} {p.confidence:.0%}\n{file.name[:22]}" for file, p in predictions.items()]
    pictures = torch.stack([predictor.prepare(file) for file in predictions])
    title = f"{predictor.artifact.backbone}, {predictor.artifact.strategy['name']}"
    if of > len(predictions):
        title += f", the first {len(predictions)} of {of} pictures"
    figure = figures.photo_grid(pictures, captions, ["black"] * len(captions), title)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        kind = out.suffix.removeprefix(".") or "png"
        with writing(out) as stream:
            figure.savefig(stream, dpi=figures.DPI, format=kind)
    except OSError as error:
        raise WriteError(f"--gallery {out}", error) from error
    except ValueError as error:  # a kind of file that matplotlib does not know
        raise HymtlError(f"--gallery {out} cannot be written: {error}. Name a file.png.") from error
