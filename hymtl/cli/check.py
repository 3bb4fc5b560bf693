"""`hymtl check`: what is wrong with a folder of pictures, before anything trains on them."""

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from hymtl.errors import HymtlError, printable
from hymtl.files import WriteError, writing

if TYPE_CHECKING:
    from hymtl.data.check import Findings
    from hymtl.data.duplicates import Cluster
    from hymtl.data.photos import PhotoFolder

MOST = 20  # clusters of pictures that a list or a grid shows; files that are no use are listed all
GRID = Path("hymtl-check.png")
SIDE = 176  # pixels of a picture in it

ABOUT = (
    "Decode every picture once and name what is wrong: broken files, odd ones, duplicates, copies on two sides of a "
    "split. Every training does the same before it begins. The exit code is 1 where training would stop, or copies are "
    "on two sides."
)


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the sub-command and its options."""
    parser = commands.add_parser(
        "check", help="find broken, odd and duplicate pictures in a dataset", description=ABOUT
    )
    parser.add_argument("data", type=Path, metavar="DIR", help="a dataset's folder, or a table of it (FILE.csv)")
    parser.add_argument(
        "--grid", type=Path, default=GRID, metavar="OUT.png", help=f"where duplicates are drawn; else {GRID}"
    )
    parser.set_defaults(function=run)


def run(options: argparse.Namespace) -> int:
    """Print all that was found; 1 where training would stop for it, or pictures leak across splits."""
    from hymtl.data import check  # torch comes with it: here, so that --help does not wait

    photos, fault = _found(options.data)
    findings = check.examine(photos)
    faults, clusters = check.bad(findings), check.twice(photos, findings)
    leaks = check.leaking(photos, clusters)
    sections = [
        _counts(photos),
        [f"!!! {fault}"] if fault else [],
        _section(list(faults.values()), "Files that are no use"),
        _section(_left_out(photos), "Files of no kind that is read, left out"),
        _section(_misnamed(photos, findings), "Files named like another kind than they are, read all the same"),
        _section([check.shown(c) for c in clusters if c not in leaks], "Pictures that are there more than once", MOST),
        _section([check.shown(c) for c in leaks], "!!! Pictures that LEAK: they stand on two sides of a split", MOST),
    ]
    print(printable("\n\n".join("\n".join(lines) for lines in sections if lines)))
    if clusters:
        _draw(options.grid, photos, [*leaks, *(cluster for cluster in clusters if cluster not in leaks)])
    elif not faults and not fault:
        print("\nNothing is wrong with them.")
    return 1 if faults or leaks or fault else 0


def _found(data: Path) -> tuple["PhotoFolder", str | None]:
    """The dataset; where it cannot train, all pictures below the folder, and why."""
    from hymtl.data import photos
    from hymtl.data.sources import find_photos
    from hymtl.data.splits import arrange

    try:
        found = find_photos("csv" if data.is_file() else "folder", str(data))
    except HymtlError as error:
        if not data.is_dir():
            raise
        files = sorted(file for file in data.rglob("*") if file.is_file() and not file.name.startswith("."))
        listed = [photos.Photo(f, f.relative_to(data).as_posix(), 0) for f in files if photos.is_picture(f)]
        others = [file.relative_to(data).as_posix() for file in files if not photos.is_picture(file)]
        splits = {split: [p for p in listed if p.name.startswith(f"{split}/")] for split in photos.SPLITS}
        splits[photos.UNSPLIT] = [p for p in listed if p.name.split("/")[0] not in photos.SPLITS]
        splits = {name: split for name, split in splits.items() if split}
        return photos.PhotoFolder("folder", data, ["pictures"], splits, left_out=others), str(error)
    try:
        arrange(found)
    except HymtlError as error:  # as training would say, without any setting
        return found, str(error)
    return found, None


def _counts(photos: "PhotoFolder") -> list[str]:
    """A table: a line a class, a column a split."""
    sizes = {name: Counter(photo.label for photo in split) for name, split in photos.splits.items()}
    width = max(5, *map(len, photos.classes))
    lines = [f"{'class':<{width}}" + "".join(f"{name:>8}" for name in sizes)]
    for label, name in enumerate(photos.classes):
        lines.append(f"{name:<{width}}" + "".join(f"{size[label]:>8}" for size in sizes.values()))
    return lines


def _section(lines: list[str], title: str, most: int | None = None) -> list[str]:
    if not lines:
        return []
    shown = lines[:most]
    more = [f"  and {len(lines) - len(shown)} more"] if len(lines) > len(shown) else []
    return [f"{title} ({len(lines)}):", *(f"  {line}" for line in shown), *more]


def _left_out(photos: "PhotoFolder") -> list[str]:
    """Files that are not named like pictures, and what they are if they are some all the same."""
    from hymtl.data import reading

    lines = []
    for name in photos.left_out:
        known = reading.header(photos.root / name)
        lines.append(f"{name}, which is {known[0]}: rename it" if known else name)
    return lines


def _misnamed(photos: "PhotoFolder", findings: "Findings") -> list[str]:
    from hymtl.data import reading

    lines = []
    for name, found in sorted(findings.items()):
        if found.kind and Path(name).suffix.lower() not in reading.KINDS[found.kind]:
            lines.append(f"{name} is {found.kind}")
    return lines


def _draw(out: Path, photos: "PhotoFolder", clusters: list["Cluster"]) -> None:
    """The first pictures of each cluster side by side, leaks first."""
    import torch
    from torchvision.transforms import v2

    from hymtl.pictures import figures

    sides = {photo.name: (name, photo) for name, split in photos.splits.items() for photo in split}
    square = v2.Compose([v2.Resize(SIDE), v2.CenterCrop(SIDE)])
    pictures, captions, colours = [], [], []
    for number, cluster in enumerate(clusters[:MOST]):
        one = cluster.names[0]
        others = [name for name in cluster.names if sides[name][0] != sides[one][0]]
        for name in (one, others[0] if others else cluster.names[1]):
            split, photo = sides[name]
            pictures.append(photo.decode(square))
            captions.append(f"{number + 1}: {split}\n{name.split('/')[-1][-24:]}")
            colours.append(figures.WRONG if others else "black")
    title = "pictures that are there twice, side by side; in red those on two sides of a split"
    figure = figures.photo_grid(torch.stack(pictures), captions, colours, title)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with writing(out) as stream:
            figure.savefig(stream, dpi=figures.DPI, format=out.suffix.removeprefix(".") or "png")
    except OSError as error:
        raise WriteError(f"--grid {out}", error) from error
    except ValueError as error:  # a kind of file that matplotlib does not know
        raise HymtlError(f"--grid {out} cannot be written: {error}. Name a file.png.") from error
    print(f"\nThe worst of them side by side: {out}")
