"""`hymtl explain`: which pixels spoke for the class that a picture was given."""

import argparse
import os
import sys
from pathlib import Path

from hymtl.errors import HymtlError, printable
from hymtl.files import WriteError, writing

ABOUT = (
    "Draw, for each picture, which pixels spoke for the class that the network gives it (Grad-CAM). Needs "
    "the extra explain."
)


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the sub-command and its options."""
    parser = commands.add_parser(
        "explain", help="draw which pixels spoke for the class of a picture", description=ABOUT
    )
    parser.add_argument("run", type=Path, help="a run's folder, or the artifact in it")
    parser.add_argument("pictures", type=Path, nargs="+", help="picture files, or folders of them")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where PNG and TensorBoard files go; else RUN/explained"
    )
    parser.set_defaults(function=run)


def run(options: argparse.Namespace) -> int:
    """Draw a PNG a picture, and all for TensorBoard; 1 where pictures were refused."""
    import hymtl  # torch comes with it: here, so that --help does not wait
    from hymtl.deploy.explanation import Explainer
    from hymtl.deploy.predict import listed

    predictor = hymtl.load(options.run)
    explainer = Explainer(predictor.artifact)
    if explainer.of_twin:
        print("int8 kernels have no gradients: explained by the float network of the same weights")
    folder = options.out or options.run / "explained"
    refused = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(folder)) as board:
            for file in listed(options.pictures):
                try:
                    print(printable(_explained(file, predictor, explainer, folder, board)))
                except HymtlError as error:
                    refused += 1
                    print(f"hymtl: {error}", file=sys.stderr)
    except OSError as error:
        raise WriteError(f"--out {folder}", error) from error
    return 1 if refused else 0


def _explained(file: Path, predictor, explainer, folder: Path, board) -> str:
    import numpy as np

    from hymtl.pictures import heat

    picture = predictor.prepare(file)
    said = predictor.classify(picture[None])[0]
    drawn = heat.beside(picture, explainer(picture, predictor.classes.index(said.label)))
    out = _free(folder, file.stem)
    with writing(out) as stream:
        drawn.save(stream, "PNG")
    board.add_image(f"explained/{out.stem}: {said.label} {said.confidence:.0%}", np.asarray(drawn), dataformats="HWC")
    return f"{said.label}  {said.confidence:.2%}  {file}  {out}"


def _free(folder: Path, stem: str) -> Path:
    """A name that no picture has yet: two folders may have files of the same."""
    names = [stem, *(f"{stem}-{number}" for number in range(2, 10_000))]
    return next(folder / f"{name}.png" for name in names if not os.path.lexists(folder / f"{name}.png"))
