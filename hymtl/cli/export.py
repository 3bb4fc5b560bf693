"""`hymtl export`: a file for another runtime, checked against the artifact on photos."""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hymtl.errors import HymtlError, printable
from hymtl.files import WriteError

if TYPE_CHECKING:
    from hymtl.deploy.agreement import Agreement
    from hymtl.deploy.export import Format
    from hymtl.deploy.predict import Predictor

ABOUT = (
    "Write the network of a run for another runtime, normalizing and softmax inside, run it there, and "
    "keep the file only if it says what the artifact says. onnx needs the extra onnx, openvino the extra "
    "openvino."
)


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the sub-command and its options."""
    parser = commands.add_parser(
        "export", help="write a file for another runtime, and check what it says", description=ABOUT
    )
    parser.add_argument("run", type=Path, help="a run's folder, or the artifact in it")
    parser.add_argument("--format", required=True, help="onnx, openvino, torchscript or pt2")
    parser.add_argument(
        "--with-resize", action="store_true", help="put scaling and cropping inside too: a picture of any size goes in"
    )
    parser.add_argument(
        "--photos", type=Path, metavar="DIR", help="pictures to check with; else the run's validation photos"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the file goes; else RUN/export")
    parser.set_defaults(function=run)


def run(options: argparse.Namespace) -> int:
    """Write the file where it passes the check; 1 where it does not."""
    import hymtl  # torch comes with it: here, so that --help does not wait
    from hymtl.deploy import export, runtimes, validation, whole

    form = export.get(options.format)
    predictor = hymtl.load(options.run)
    made = whole.make(predictor.artifact, predictor.network)
    _check(form, made, options)
    photos = validation.photos(options.run, options.photos)
    folder = options.out or options.run / runtimes.FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as new:
            file = Path(new) / form.FILE
            facts = whole.facts(predictor.artifact, with_resize=options.with_resize)
            resize = predictor.artifact.resize if options.with_resize else None
            export.write(options.format, made, file, facts, resize=resize)
            good = _compare(form, file, predictor, photos, options)
            if good:
                _put_in_place(file, folder)
    except OSError as error:
        raise WriteError(f"--out {folder}", error) from error
    if good:
        print(f"{folder / form.FILE}")
    return 0 if good else 1


def _put_in_place(file: Path, folder: Path) -> None:
    """Where a format has other parts beside its file, the file goes first and comes last: they are of one network."""
    parts = [part for part in file.parent.iterdir() if part != file]
    if parts:
        (folder / file.name).unlink(missing_ok=True)
    for part in [*parts, file]:
        os.replace(part, folder / part.name)


def _check(form: "Format", made, options: argparse.Namespace) -> None:
    from hymtl.deploy import export

    if obstacle := form.obstacle(made):
        can = [name for name in export.names() if not export.module(name).obstacle(made)]
        raise HymtlError(f"--format {options.format}: {obstacle}. What can be written: --format {', '.join(can)}.")
    if options.with_resize and not form.RESIZES:
        can = [name for name in export.names() if export.module(name).RESIZES]
        raise HymtlError(f"--with-resize: not in --format {options.format}. It can be put into {', '.join(can)}.")


def _compare(
    form: "Format", file: Path, predictor: "Predictor", photos: list[Path], options: argparse.Namespace
) -> bool:
    """Say how far the file agrees, and whether it may be used."""
    import torch

    from hymtl.deploy import agreement, export

    run = export.run(options.format, file, torch.get_num_threads())
    found = agreement.compare(predictor, run, photos, with_resize=options.with_resize)
    print(printable(_report(found, form)))
    if options.with_resize:
        print("resizing inside: other rounding of pixels, so more may change than the runtime alone would")
    exact = not (predictor.int8 or options.with_resize)
    if objection := found.objection(exact=exact):
        print(f"hymtl: {options.format}: {objection}. The file was not kept.", file=sys.stderr)
        return False
    return True


def _report(found: "Agreement", form: "Format") -> str:
    lines = [
        f"checked in {form.RUNTIME} on {found.photos} photos: {len(found.changed)} classes changed, "
        f"largest change of a probability {found.largest:.6f}, rounding error of a margin {found.rounding:.6f}"
    ]
    lines += [
        f"  {photo.file}: {photo.artifact} became {photo.exported}; margin {photo.margin:.6f}"
        for photo in found.changed
    ]
    return "\n".join(lines)
