"""How fast a run's networks and exported files are, measured side by side.

Contenders take turns within a round, so that whatever else the machine does meets all alike; the median of many rounds
stands for each, the quartiles for how sure that is.
"""

import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from hymtl.data import transforms
from hymtl.deploy import export, runtimes, twin
from hymtl.deploy.predict import Predictor, load
from hymtl.errors import HymtlError
from hymtl.network import Classifier
from hymtl.records.benchmark import BATCHES, FORMAT, Benchmark, Contender, Time

WARM, ROUNDS = 3, 15


@dataclass
class Entry:
    """A contender of a run, ready to be called; ``seconds`` by the batch's size."""

    folder: Path
    runtime: str
    precision: str
    deployed: bool
    call: runtimes.Run
    picture: tuple[int, int, int]
    bytes: int
    memory: int | None = None
    seconds: dict[int, list[float]] = field(default_factory=lambda: {size: [] for size in BATCHES})


def run(
    folders: list[Path], progress: Callable[[Iterable[int]], Iterable[int]] = lambda rounds: rounds
) -> dict[Path, Benchmark]:
    """Time all networks and files of all ``folders`` together, on as many threads as torch has.

    Raises:
        HymtlError: if a folder has no usable artifact.
    """
    threads = torch.get_num_threads()
    entries = [entry for folder in folders for entry in _entries(folder, threads)]
    torch.set_num_threads(threads)
    for number in progress(range(WARM + ROUNDS)):
        for size in BATCHES:
            for entry in entries[number % len(entries) :] + entries[: number % len(entries)]:  # no one is always first
                took = _seconds(entry, size)
                if number >= WARM:
                    entry.seconds[size].append(took)
    return {folder: _record([entry for entry in entries if entry.folder == folder], threads) for folder in folders}


def _entries(folder: Path, threads: int) -> list[Entry]:
    predictor = load(folder)
    expected = predictor.artifact.preprocessing
    picture = (expected.channels, expected.size, expected.size)
    weights = (folder / "artifact" if (folder / "artifact").is_dir() else folder) / "weights.pt"
    precision = "int8" if predictor.int8 else "float"
    makers: list[tuple[str, str, bool, Callable[[], runtimes.Run], int]] = []
    makers.append(("torch", precision, True, lambda: _torch(predictor, predictor.network), weights.stat().st_size))
    if predictor.int8:
        network = twin.float_network(predictor.artifact)
        size = sum(tensor.nbytes for tensor in network.state_dict().values())
        makers.append(("torch", "float", False, lambda: _torch(predictor, network), size))
    for name in export.names():
        form = export.module(name)
        file = folder / runtimes.FOLDER / form.FILE
        if file.is_file() and _usable(name, file, predictor):
            size = file.stat().st_size + sum(other.stat().st_size for other in file.parent.glob("model.bin") if
                                             file.suffix == ".xml")  # fmt: skip
            makers.append((form.RUNTIME, precision, True, lambda f=form, p=file: f.run(p, threads), size))  # type: ignore[misc]
    made = []
    for runtime, kind, deployed, maker, size in makers:
        before = _peak(reset=True)
        entry = Entry(folder, runtime, kind, deployed, maker(), picture, size)
        _seconds(entry, BATCHES[-1])
        after = _peak()
        entry.memory = None if before is None or after is None else max(0, after - before)
        made.append(entry)
    return made


def _usable(name: str, file: Path, predictor: Predictor) -> bool:
    """Whether the file is of this artifact, takes pictures of the network's size, and its runtime is installed."""
    try:
        facts = export.get(name).facts(file)
    except HymtlError:
        return False
    return facts.get("weights_sha256") == predictor.artifact.digest and not facts["before"].startswith("nothing")


def _torch(predictor: Predictor, network: Classifier) -> runtimes.Run:
    @torch.no_grad()
    def call(pictures: np.ndarray) -> np.ndarray:
        return (
            network(transforms.normalize(torch.from_numpy(pictures), predictor.artifact.preprocessing))
            .softmax(1)
            .numpy()
        )

    return call


def _seconds(entry: Entry, size: int) -> float:
    pictures = np.zeros((size, *entry.picture), np.uint8)
    began = time.perf_counter()
    entry.call(pictures)
    return time.perf_counter() - began


def _peak(*, reset: bool = False) -> int | None:
    """Bytes: the most that this process took, or, to count from, what it takes now (``reset``). Linux only."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(lines["VmRSS" if reset else "VmHWM"].split()[0]) * 1024
    except (OSError, KeyError):
        return None


def _record(entries: list[Entry], threads: int) -> Benchmark:
    contenders = [
        Contender(
            runtime=entry.runtime,
            precision=entry.precision,
            deployed=entry.deployed,
            batches={str(size): _time(seconds) for size, seconds in entry.seconds.items()},
            bytes=entry.bytes,
            memory=entry.memory,
        )
        for entry in entries
    ]
    return Benchmark(format=FORMAT, machine=runtimes.machine(), cpu=cpu(), threads=threads, contenders=contenders)


def _time(seconds: list[float]) -> Time:
    low, median, high = statistics.quantiles(seconds, n=4)
    return Time(median=median, low=low, high=high, rounds=len(seconds))


def cpu() -> str:
    """The processor's name and what of it decides about int8."""
    named, flags = platform.processor() or platform.machine(), set()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                named = value.strip()
            if key.strip() in ("flags", "Features"):
                flags = set(value.split())
    except OSError:
        pass
    telling = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp") if flag in flags]
    return f"{named} ({', '.join(telling) or torch.backends.cpu.get_cpu_capability()})"
