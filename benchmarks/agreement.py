"""Whether the command, Python, each exported file in its own runtime and the page say the same of the same photos.

    python benchmarks/agreement.py --photos DIR RUN [RUN ...]

Each way is compared with `hymtl.load` photo by photo: classes changed, and the largest difference of a probability.
Files are exported anew, into a temporary folder, and run on one thread. Markdown on stdout.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import hymtl  # noqa: E402
from benchmarks import process, tables  # noqa: E402
from hymtl.data.photos import is_picture  # noqa: E402
from hymtl.deploy import agreement, export, whole  # noqa: E402
from hymtl.deploy.predict import Predictor  # noqa: E402
from hymtl.errors import HymtlError  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of pictures, however deep")
    parser.add_argument("runs", type=Path, nargs="+")
    options = parser.parse_args()
    files = sorted(file for file in options.photos.rglob("*") if is_picture(file))
    head = ("run", "photos", "hymtl predict", "hymtl serve", *export.names())
    print(tables.table(head, (row(run, files) for run in options.runs)))


def row(run: Path, files: list[Path]) -> list[str]:
    """Of each way: classes changed, and the largest difference."""
    predictor = hymtl.load(run)
    said = [prediction.probabilities for prediction in predictor(files)]
    ways = [different(said, ask(run, files)) for ask in (command, page)]
    return [run.name, str(len(files)), *ways, *(exported(name, predictor, files) for name in export.names())]


def different(said: list[dict[str, float]], other: list[dict[str, float]]) -> str:
    pairs = list(zip(said, other, strict=True))
    changed = sum(max(a, key=a.__getitem__) != max(b, key=b.__getitem__) for a, b in pairs)
    return cell(changed, max(abs(a[name] - b[name]) for a, b in pairs for name in a))


def cell(changed: int, largest: float) -> str:
    return f"{changed}, {largest:.6f}"


def command(run: Path, files: list[Path]) -> list[dict[str, float]]:
    words = [sys.executable, "-m", "hymtl", "predict", "--json", "--runtime", "torch", str(run), "-"]
    done = subprocess.run(words, input="\n".join(map(str, files)), cwd=ROOT, capture_output=True, text=True, check=True)
    return [row["probabilities"] for row in json.loads(done.stdout)]


def page(run: Path, files: list[Path]) -> list[dict[str, float]]:
    words = [sys.executable, "-m", "hymtl", "serve", "--port", "0", "--runtime", "torch", str(run)]
    with process.serving(words, cwd=ROOT) as address:
        return [answer(f"{address}/predict", file.read_bytes()) for file in files]


def answer(address: str, content: bytes) -> dict[str, float]:
    with urllib.request.urlopen(urllib.request.Request(address, content)) as response:
        return json.load(response)["probabilities"]


def exported(name: str, predictor: Predictor, files: list[Path]) -> str:
    made = whole.make(predictor.artifact, predictor.network)
    form = export.get(name)
    if form.obstacle(made):
        return "cannot be"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / form.FILE
        export.write(name, made, file, whole.facts(predictor.artifact, with_resize=False), resize=None)
        found = agreement.compare(predictor, export.run(name, file, 1), files)
    if objection := found.objection(exact=not predictor.int8):
        raise HymtlError(f"{name}: {objection}")
    return cell(len(found.changed), found.largest)


if __name__ == "__main__":
    main()
