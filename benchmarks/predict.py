"""Photos a second of `hymtl predict`, and of other runtimes for the same artifact, side by side in one process.

    pip install -e ".[openvino]"       # runtimes that are missing are left out
    python benchmarks/predict.py --photos DIR --artifact RUN

First the whole command's work, decoding alone and with the network; then the network alone, on prepared pictures in
batches of 16, by torch and by each file that `hymtl export` writes, all on as many threads as torch has and taking
turns, the best of the rounds. What a runtime changes is against the network as it was saved; which kernels ran, int8 or
float, is what the runtime's own profile says. Markdown on stdout.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

import hymtl  # noqa: E402
from benchmarks import kernels, tables  # noqa: E402
from benchmarks.given import facts  # noqa: E402
from hymtl.deploy import export, whole  # noqa: E402
from hymtl.deploy.predict import BATCH, Predictor  # noqa: E402
from hymtl.deploy.whole import Run  # noqa: E402
from hymtl.errors import HymtlError  # noqa: E402

HEAD = ("runtime", "s to make", "photos/s", "largest change of a probability", "classes changed", "kernels that ran")


def main() -> None:
    options = arguments()
    predictor = hymtl.load(options.artifact)
    files = sorted(file for file in options.photos.rglob("*") if file.is_file() and not file.name.startswith("."))
    decode = best(lambda: decoded(predictor, files), options.rounds)
    whole = best(lambda: list(predictor.files(files)), options.rounds)
    print(*(f"- {name}: {value}" for name, value in facts().items()), sep="\n")
    print(f"- artifact: {predictor.artifact.backbone}, strategy {predictor.artifact.strategy['name']}")
    print(f"- photos: {len(files)}; `hymtl predict` {len(files) / whole:.0f} photos/s, loading and imports aside")
    print(f"- decoding alone: {len(files) / decode:.0f} photos/s, {decode / whole:.0%} of that time\n")
    pictures = torch.stack(decoded(predictor, files)).numpy()
    with tempfile.TemporaryDirectory() as folder:
        print(tables.table(HEAD, rows(predictor, pictures, options.rounds, Path(folder))))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of pictures, however deep")
    parser.add_argument("--artifact", type=Path, required=True, help="a run's folder, or the artifact in it")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def decoded(predictor: Predictor, files: list[Path]) -> list[Tensor]:
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(predictor.prepare, files))


def best(work: Callable[[], object], rounds: int) -> float:
    def seconds() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return min(seconds() for _ in range(rounds))


def rows(predictor: Predictor, pictures: np.ndarray, rounds: int, folder: Path) -> list[list[str]]:
    made: dict[str, tuple[Run, float, str]] = {}
    failed = []
    for name, maker in makers(predictor, folder, pictures[:BATCH]):
        began = time.perf_counter()
        try:
            run, ran = maker()
            made[name] = (run, time.perf_counter() - began, ran)
        except HymtlError as error:
            failed.append([name, f"cannot: {error}", "", "", "", ""])
    times: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(rounds):
        for name, (run, _, _) in made.items():
            times[name].append(best(partial(given, run, pictures), 1))
    saved = given(made["torch, as saved"][0], pictures)
    return [row(name, took, len(pictures) / min(times[name]), given(run, pictures), saved, ran)
            for name, (run, took, ran) in made.items()] + failed  # fmt: skip


def makers(
    predictor: Predictor, folder: Path, pictures: np.ndarray
) -> Iterator[tuple[str, Callable[[], tuple[Run, str]]]]:
    """Each gives a runtime, and the kernels that ran in it."""
    loaded = predictor.artifact
    for name, network in (("torch, as saved", loaded.network), ("torch, hymtl's", predictor.network)):
        together = whole.make(loaded, network)
        together.network = network  # of quantizer pt2e its int8 kernels, not the graph that files are made of
        yield name, partial(lambda together: (whole.in_torch(together), ""), together)
    for name in export.names():
        yield name, partial(exported, name, predictor, folder / name, pictures)


def exported(name: str, predictor: Predictor, folder: Path, pictures: np.ndarray) -> tuple[Run, str]:
    form, made = export.get(name), whole.make(predictor.artifact, predictor.network)
    if obstacle := form.obstacle(made):
        raise HymtlError(obstacle)
    folder.mkdir()
    export.write(name, made, folder / form.FILE, {}, resize=None)
    ran = kernels.ran(form.RUNTIME, folder / form.FILE, pictures)
    return export.run(name, folder / form.FILE, torch.get_num_threads()), ran


def given(run: Run, pictures: np.ndarray) -> np.ndarray:
    """Probabilities (N, classes)."""
    return np.concatenate([run(pictures[start : start + BATCH]) for start in range(0, len(pictures), BATCH)])


def row(name: str, took: float, speed: float, said: np.ndarray, saved: np.ndarray, ran: str) -> list[str]:
    changed = int((said.argmax(1) != saved.argmax(1)).sum())
    return [name, f"{took:.1f}", f"{speed:.0f}", f"{np.abs(said - saved).max():.4f}", str(changed), ran]


if __name__ == "__main__":
    main()
