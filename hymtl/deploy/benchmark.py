"""How fast a run's networks and exported files are, measured side by side.

Contenders take turns within a round, so that whatever else the machine does meets all alike; the median of many rounds
stands for each, the quartiles for how sure that is.
"""

import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from hymtl.data import transforms
from hymtl.deploy import artifact, export, runtimes, twin
from hymtl.deploy.evaluation import probabilities
from hymtl.deploy.predict import Predictor, load
from hymtl.deploy.whole import in_torch
from hymtl.network import Classifier
from hymtl.records.benchmark import BATCHES, FORMAT, Benchmark, Contender, Time

WARM, ROUNDS = 3, 15


@dataclass
class Entry:
    """A contender of a run: ``load`` makes what is called; ``seconds`` by the batch's size."""

    folder: Path
    runtime: str
    precision: str
    deployed: bool
    load: Callable[[], runtimes.Run]
    picture: tuple[int, int, int]
    bytes: int
    call: runtimes.Run = field(init=False)
    memory: int | None = None
    seconds: dict[int, list[float]] = field(default_factory=lambda: {size: [] for size in BATCHES})

    def start(self) -> "Entry":
        """Load it, run the largest batch once, and see what memory that took."""
        before = _peak(reset=True)
        self.call = self.load()
        _seconds(self, BATCHES[-1])
        after = _peak()
        self.memory = None if before is None or after is None else max(0, after - before)
        return self


def run(
    folders: list[Path], progress: Callable[[Iterable[int]], Iterable[int]] = lambda rounds: rounds
) -> dict[Path, Benchmark]:
    """Time all networks and files of all ``folders`` together, on as many threads as torch has.

    Raises:
        HymtlError: if a folder has no usable artifact.
    """
    threads = torch.get_num_threads()
    found = {folder: load(folder) for folder in folders}  # all of them, before anything takes time
    exported = {folder: _exported(folder, predictor) for folder, predictor in found.items()}
    entries = [
        entry.start()
        for folder, predictor in found.items()
        for entry in _entries(folder, predictor, [name for name, reason in exported[folder].items() if not reason])
    ]
    torch.set_num_threads(threads)
    for number in progress(range(WARM + ROUNDS)):
        for size in BATCHES:
            for entry in entries[number % len(entries) :] + entries[: number % len(entries)]:  # no one is always first
                took = _seconds(entry, size)
                if number >= WARM:
                    entry.seconds[size].append(took)
    return {
        folder: _record([entry for entry in entries if entry.folder == folder], filter(None, reasons.values()))
        for folder, reasons in exported.items()
    }


def _entries(folder: Path, predictor: Predictor, exported: list[str]) -> Iterator[Entry]:
    expected = predictor.artifact.preprocessing
    picture = (expected.channels, expected.size, expected.size)
    precision = "int8" if predictor.int8 else "float"
    yield Entry(folder, "torch", precision, True, lambda: _torch(predictor, predictor.network), picture, _saved(folder))
    if predictor.int8:
        network = twin.float_network(predictor.artifact)
        size = sum(tensor.nbytes for tensor in network.state_dict().values())
        yield Entry(folder, "torch", "float", False, lambda: _torch(predictor, network), picture, size)
    for name in exported:
        file, runtime = runtimes.exported(name, folder), export.module(name).RUNTIME
        run = partial(export.run, name, file, torch.get_num_threads())
        yield Entry(folder, runtime, precision, True, run, picture, _bytes(file))


def _exported(folder: Path, predictor: Predictor) -> dict[str, str | None]:
    """The formats of the files there are, each with what keeps it from being timed."""
    there = [name for name in export.names() if runtimes.exported(name, folder).is_file()]
    return {name: runtimes.obstacle(name, folder, predictor.artifact) for name in there}


def _saved(folder: Path) -> int:
    return ((folder / "artifact" if (folder / "artifact").is_dir() else folder) / artifact.WEIGHTS).stat().st_size


def _bytes(file: Path) -> int:
    """OpenVINO's is a pair."""
    parts = (file, file.with_suffix(".bin")) if file.suffix == ".xml" else (file,)
    return sum(part.stat().st_size for part in parts)


def _torch(predictor: Predictor, network: Classifier) -> runtimes.Run:
    expected, temperature = predictor.artifact.preprocessing, predictor.artifact.temperature
    return in_torch(lambda pictures: probabilities(network(transforms.normalize(pictures, expected)), temperature))


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


def _record(entries: list[Entry], left_out: Iterable[str]) -> Benchmark:
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
    return Benchmark(
        format=FORMAT,
        machine=runtimes.machine(),
        cpu=cpu(),
        threads=torch.get_num_threads(),
        contenders=contenders,
        left_out=list(left_out),
    )


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
