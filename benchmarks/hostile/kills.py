"""Runs killed at random moments and resumed, until they end as the run that nobody stopped.

Half of the moments are of the clock, half are the next write: a process ends itself as it is about to open, rename or
remove a file of its run.
"""

import itertools
import json
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from benchmarks.hostile import forks, small
from hymtl import checkpoints, records
from hymtl.deploy import artifact
from hymtl.errors import HymtlError
from hymtl.features.store import FeatureStore
from hymtl.files import tensors
from hymtl.records import predictions, result
from hymtl.resuming import CONFIG, RECORDED

LIMIT = 120.0  # seconds that a run may take
WRITES = ("open", "os.rename", "os.remove")  # of Python's audit events
LEFT = 1_000_000  # bytes that a killed run may leave in the temporary folder


@dataclass
class Whole:
    """A run that nobody stopped: what it left, and how many seconds and writes it took."""

    left: dict[str, Any]
    seconds: float
    writes: int


@dataclass
class Kills:
    """What is shared by the runs: where they lie, what they must end as, and what was counted and went wrong."""

    root: Path
    temporary: tuple[Path, ...]  # folders for temporary files
    chance: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _whole: dict[str, Whole] = field(default_factory=dict)

    def run(self, count: int) -> Iterator[None]:
        """Kill ``count`` times, over every strategy, with and without workers, each temporary folder in turn."""
        combinations = list(itertools.product(small.names(), (0, 2), self.temporary))
        self.chance.shuffle(combinations)
        for number, (strategy, workers, temporary) in enumerate(itertools.cycle(combinations)):
            if self.counts["kills"] >= count:
                return
            yield from self._one(number, strategy, workers, temporary, count)

    def _one(self, number: int, strategy: str, workers: int, temporary: Path, count: int) -> Iterator[None]:
        """A run, killed up to three times before it may finish, and compared."""
        if strategy not in self._whole:
            self._whole[strategy] = self._never_stopped(strategy)
        whole, folder = self._whole[strategy], self.root / f"{number}-{strategy}"
        run = Run(folder, strategy, workers, temporary, self.root / "pictures")
        for _ in range(min(3, count - self.counts["kills"])):
            ended = run.go_on(**self._moment(whole))
            if ended.code != -signal.SIGKILL:
                break
            self.counts["kills"] += 1
            self.counts["kills after an epoch was saved"] += run.last.is_file()
            self.check(run)
            yield
        else:
            ended = run.go_on()
        self.counts["resumed to the end"] += 1
        self.compare(run, ended, whole)
        yield

    def _moment(self, whole: Whole) -> dict[str, float]:
        if self.chance.random() < 0.5:
            return {"kill_after": self.chance.uniform(0.3, 1.0) * whole.seconds}
        return {"at_write": self.chance.randint(1, whole.writes)}

    def _never_stopped(self, strategy: str) -> Whole:
        run = Run(self.root / f"whole-{strategy}", strategy, 0, self.temporary[0], self.root / "pictures")
        ended = run.go_on(at_write=sys.maxsize)
        if ended.code:
            raise RuntimeError(f"{strategy} does not run:\n{ended.said}")
        return Whole(left(run.folder), ended.seconds, int(run.counted.read_text()))

    def check(self, run: "Run") -> None:
        """Every file of a killed run can be read, and the temporary folder is not filled."""
        for fault in faults(run.folder, run.home):
            self.failures.append(f"{run}: after a kill: {fault}")
        self.counts["files checked"] += sum(file.is_file() for file in run.folder.rglob("*"))
        size = sum(file.stat().st_size for file in run.temporary.rglob("*") if file.is_file())
        if size > LEFT:
            self.failures.append(f"{run}: {size} bytes are left in {run.temporary}")

    def compare(self, run: "Run", ended: forks.Ended, whole: Whole) -> None:
        if ended.code:
            self.failures.append(f"{run}: ended with {ended.code}{', hung' * ended.hung}: {ended.said[-2000:]}")
            return
        found = left(run.folder)
        differing = [name for name in whole.left if found[name] != whole.left[name]]
        if differing:
            self.failures.append(f"{run}: other {', '.join(differing)} than the run that was never stopped")
        self.counts["bit-equal"] += not differing


@dataclass(frozen=True)
class Run:
    """One run from the command line, in a folder and a home of its own."""

    folder: Path
    strategy: str
    workers: int
    temporary: Path
    pictures: Path

    def __str__(self) -> str:
        return f"{self.folder.name}, workers {self.workers}, temporary files in {self.temporary}"

    @property
    def home(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}-home")

    @property
    def counted(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}-writes")

    @property
    def last(self) -> Path:
        return self.folder / "checkpoints" / "last.ckpt"

    def go_on(self, *, kill_after: float | None = None, at_write: int | None = None) -> forks.Ended:
        """Begin, or, where something is on record, resume; killed after so many seconds or at the write so numbered."""
        words = [f"resume={self.folder}"] if _recorded(self.folder) else self._words()

        def work() -> None:
            os.environ["HYMTL_HOME"], os.environ["TMPDIR"] = str(self.home), str(self.temporary)
            tempfile.tempdir = None  # found already, maybe
            if at_write is not None:
                _die_at(at_write, (f"{self.folder}/", f"{self.home}/"), self.counted)
            small.train(*words)

        return forks.run(work, limit=LIMIT, kill_after=kill_after)

    def _words(self) -> list[str]:
        data, workers = f"data.root={self.pictures}", f"data.workers={self.workers}"
        return [*small.of_strategy(self.strategy), data, workers, f"hydra.run.dir={self.folder}"]


def _recorded(folder: Path) -> bool:
    """Whether Hydra had put the overrides on record, which it writes in one piece, but not by a rename."""
    file = folder / RECORDED
    return file.is_file() and file.stat().st_size > 0


def _die_at(number: int, places: tuple[str, ...], counted: Path) -> None:
    """SIGKILL to this process as it is about to do the write so numbered below ``places``; else count them."""
    process, writes = os.getpid(), 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal writes
        if event not in WRITES or os.getpid() != process or not str(arguments[0]).startswith(places):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        writes += 1
        if writes == number:
            os.kill(process, signal.SIGKILL)
        if number == sys.maxsize:
            descriptor = os.open(counted, os.O_CREAT | os.O_WRONLY)
            os.write(descriptor, str(writes).encode())
            os.close(descriptor)

    sys.addaudithook(hook)


def left(folder: Path) -> dict[str, Any]:
    """What of a finished run must not depend on how often it was stopped."""
    record = json.loads((folder / result.FILE).read_text())
    for name in ("seconds", "config_hash"):  # of the time, and of workers, which change nothing else
        record.pop(name, None)
    last = checkpoints.read(folder / "checkpoints" / "last.ckpt")
    return {
        "history": record.pop("history"),
        "record": record,
        "predictions": (folder / predictions.FILE).read_bytes(),
        "deployed weights": _bytes(tensors.read(folder / "artifact" / artifact.WEIGHTS)),
        "trained weights": _bytes(last["state_dict"]),
        "best weights": _bytes(checkpoints.read(folder / "checkpoints" / "best.ckpt")["state_dict"]),
    }


def _bytes(value: Any) -> Any:
    """Plain values that are equal where, and only where, tensors are to the bit."""
    import io

    import torch

    if isinstance(value, dict):
        return {name: _bytes(part) for name, part in value.items()}
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def faults(folder: Path, home: Path) -> Iterator[str]:
    """What of a run's files cannot be read as what they are; half a file under a temporary name is none."""
    readers = {
        "checkpoints/*.ckpt": checkpoints.read,
        result.FILE: lambda file: records.read(result.Result, file),
        predictions.FILE: predictions.read,
        str(CONFIG): lambda file: yaml.safe_load(file.read_text()),
        "pictures/*.png": lambda file: Image.open(file).load(),
    }
    if (folder / "artifact" / artifact.DIGESTS).is_file():
        readers["artifact"] = artifact.load
    for pattern, read in readers.items():
        for file in sorted(folder.glob(pattern)):
            try:
                read(file)
            except (HymtlError, OSError, ValueError, yaml.YAMLError) as error:
                yield f"{file}: {error}"
    store = FeatureStore(home / "features", 1e9)
    for file in sorted(store.folder.glob("*.pt")):
        if not store.load(file.stem):
            yield f"{file} is damaged"
