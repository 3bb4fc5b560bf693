"""`hymtl predict` over hundreds and thousands of pictures: peak memory, seconds, and what became of the broken ones.

    python benchmarks/many.py --photos DIR --artifact RUN [--counts 500 5000] [--runtime torch]

The pictures are the photos again and again; every fiftieth is broken, by turns a text, an empty file and a photo cut in
half. It fails unless exactly those are refused by name and the command exits with 1. Markdown on stdout.
"""

import argparse
import csv
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import process, tables  # noqa: E402

HEAD = ("pictures", "classified", "refused by name", "s", "pictures/s", "peak memory, MB")
EVERY = 50
INTO = 'out="$1"; shift; exec "$@" > "$out"'  # of sh


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of pictures, however deep")
    parser.add_argument("--artifact", type=Path, required=True, help="a run's folder, or the artifact in it")
    parser.add_argument("--counts", type=int, nargs="+", default=[500, 5000])
    parser.add_argument("--runtime", default="torch")
    options = parser.parse_args()
    print(tables.table(HEAD, (row(options, count) for count in options.counts)))


def row(options: argparse.Namespace, count: int) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        pictures, out = Path(folder) / "pictures", Path(folder) / "out.csv"
        broken = fill(pictures, options.photos, count)
        words = [sys.executable, "-m", "hymtl", "predict", "--csv", "--runtime", options.runtime]
        done = process.run(["sh", "-c", INTO, "sh", str(out), *words, str(options.artifact.resolve()), str(pictures)])
        with out.open(newline="") as file:
            rows = list(csv.DictReader(file))
    refused = {Path(row["file"]).name for row in rows if row["error"]}
    named = {name for name in broken if name in done.said}
    if not (refused == named == broken and len(rows) == count and "exit code 1" in (done.error or "")):
        sys.exit(f"{len(rows)} of {count} pictures, {len(refused)} refused, {len(broken)} broken: {done.said[-2000:]}")
    speed, peak = f"{count / done.seconds:.0f}", f"{done.peak_gb * 1000:.0f}"
    return [str(count), str(count - len(broken)), str(len(refused)), f"{done.seconds:.1f}", speed, peak]


def fill(folder: Path, photos: Path, count: int) -> set[str]:
    """So many pictures in a new folder; the names of the broken ones."""
    folder.mkdir()
    found = sorted(file.resolve() for file in photos.rglob("*") if file.is_file() and not file.name.startswith("."))
    broken = set()
    for number in range(count):
        source = found[number % len(found)]
        picture = folder / f"{number:06}{source.suffix}"
        if number % EVERY:
            picture.symlink_to(source)
            continue
        content = source.read_bytes()
        picture.write_bytes((b"no picture", b"", content[: len(content) // 2])[number // EVERY % 3])
        broken.add(picture.name)
    return broken


if __name__ == "__main__":
    main()
