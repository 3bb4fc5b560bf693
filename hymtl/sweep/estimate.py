"""What a sweep will take, by what runs like its jobs took before: hours and disk."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig

from hymtl import records, strategies
from hymtl.records import result
from hymtl.records.result import Result

CHECKPOINTS = 2  # best and last
COPIES = 2  # of the weights in a checkpoint: themselves, and the optimizer's momentum


def words(configs: Sequence[DictConfig], folder: Path, seconds: float, done: int | None = None) -> str:
    """Jobs, which took so many ``seconds`` to check, and, as far as earlier runs tell, what is left takes.

    ``done`` is how many of them are finished; None: all that is finished in the folder.
    """
    done = sum(1 for file in folder.glob("*/" + result.FILE)) if done is None else done
    count = "1 job, its" if len(configs) == 1 else f"{len(configs)} jobs, their"
    jobs = f"{count} settings checked in {seconds:.1f} s"
    parts = [jobs + (f", {done} finished earlier" if done else "")]
    left = max(0.0, 1 - done / len(configs))  # the share of the jobs
    earlier = list(_earlier(folder))
    if hours := left * (_hours(configs, earlier) or 0):
        parts.append(f"about {hours:.1f} hours, by what such runs took in {_root(folder)}")
    free = shutil.disk_usage(_existing(folder)).free / 1e9
    if sizes := [run.bytes.float32 * (CHECKPOINTS * COPIES + 1) for run in earlier]:
        needed = left * len(configs) * max(sizes) / 1e9
        parts.append(f"about {needed:.1f} GB of disk, where {free:.0f} GB are free")
    else:
        parts.append(f"{free:.0f} GB of disk are free")
    return "; ".join(parts)


def _hours(configs: Sequence[DictConfig], earlier: Sequence[Result]) -> float | None:
    """All jobs one after another; None unless each is like a run that finished before."""
    paces: dict[str, float] = {}  # seconds an epoch, of the latest run of each strategy
    for run in earlier:
        if run.seconds.fit and run.epochs:
            paces[run.strategy] = run.seconds.fit / run.epochs
    if any(cfg.strategy.name not in paces for cfg in configs):
        return None
    return sum(paces[cfg.strategy.name] * _epochs(cfg) for cfg in configs) / 3600


def _epochs(cfg: DictConfig) -> int:
    return cfg.epochs if strategies.kind(cfg.strategy.name).trains else 1


def _earlier(folder: Path) -> Iterator[Result]:
    """Records of runs beside this sweep, oldest first."""
    files = sorted(_root(folder).rglob(result.FILE), key=lambda file: file.stat().st_mtime)
    for file in files[-200:]:
        if made := records.found(Result, file):
            yield made


def _root(folder: Path) -> Path:
    """Where to look for earlier runs: outputs/ for a sweep in it, else the sweep's own folder."""
    return next((parent for parent in folder.parents if parent.name == "outputs"), folder)


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())
