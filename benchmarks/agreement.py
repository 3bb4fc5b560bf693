"""Whether the command, Python, each exported file in its own runtime and the page say the same of the same photos.

    python benchmarks/agreement.py --photos DIR RUN [RUN ...]

Each way is compared with `hymtl.load` photo by photo: classes changed, and the largest difference of a probability.
Files are exported anew, into a temporary folder. Markdown on stdout.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import hymtl  # noqa: E402
from benchmarks import tables  # noqa: E402
from hymtl.data.photos import is_picture  # noqa: E402
from hymtl.deploy import agreement, export, whole  # noqa: E402
from hymtl.deploy.predict import Predictor  # noqa: E402
from hymtl.errors import HymtlError  # noqa: E402

HEAD = ("run", "way", "photos", "classes changed", "largest difference", "rounding error of a margin")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of pictures, however deep")
    parser.add_argument("runs", type=Path, nargs="+")
    options = parser.parse_args()
    files = sorted(file for file in options.photos.rglob("*") if is_picture(file))
    print(tables.table(HEAD, [row for run in options.runs for row in rows(run, files)]))


def rows(run: Path, files: list[Path]) -> Iterator[list[str]]:
    predictor = hymtl.load(run)
    said = [prediction.probabilities for prediction in predictor(files)]
    for way, ask in (("hymtl predict", command), ("hymtl serve", page)):
        other = ask(run, files)
        changed = sum(max(a, key=a.get) != max(b, key=b.get) for a, b in zip(said, other, strict=True))
        largest = max(abs(a[name] - b[name]) for a, b in zip(said, other, strict=True) for name in a)
        yield [run.name, way, str(len(files)), str(changed), f"{largest:.6f}", ""]
    for name in export.names():
        yield [run.name, name, *exported(name, predictor, files)]


def command(run: Path, files: list[Path]) -> list[dict[str, float]]:
    words = [sys.executable, "-m", "hymtl", "predict", "--json", "--runtime", "torch", str(run), "-"]
    done = subprocess.run(words, input="\n".join(map(str, files)), cwd=ROOT, capture_output=True, text=True, check=True)
    return [row["probabilities"] for row in json.loads(done.stdout)]


def page(run: Path, files: list[Path]) -> list[dict[str, float]]:
    words = [sys.executable, "-m", "hymtl", "serve", "--port", "0", "--runtime", "torch", str(run)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        address = server.stdout.readline().split()[0]
        try:
            return [answer(f"{address}/predict", file.read_bytes()) for file in files]
        finally:
            server.terminate()


def answer(address: str, content: bytes) -> dict[str, float]:
    with urllib.request.urlopen(urllib.request.Request(address, content)) as response:
        return json.load(response)["probabilities"]


def exported(name: str, predictor: Predictor, files: list[Path]) -> list[str]:
    made = whole.make(predictor.artifact, predictor.network)
    form = export.get(name)
    if form.obstacle(made):
        return ["", "", "cannot be exported", ""]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / form.FILE
        form.write(made, file, whole.facts(predictor.artifact, with_resize=False), resize=None)
        found = agreement.compare(predictor, form.run(file, 1), files)
    if objection := found.objection(exact=not predictor.int8):
        raise HymtlError(f"{name}: {objection}")
    return [str(found.photos), str(len(found.changed)), f"{found.largest:.6f}", f"{found.rounding:.6f}"]


if __name__ == "__main__":
    main()
