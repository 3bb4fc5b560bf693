"""Jobs side by side on one machine: to each its share of the cores and one GPU.

Slurm and Ray hand these out themselves. joblib's and submitit's local launcher do not (hydra#1331, #2757, #3002): all
jobs would take all cores, and the first GPU. Which slot is free is told by locks on files, which a process that dies
loses; counting jobs would give two of them one GPU as soon as one takes longer than the next.
"""

import logging
import os
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig

from hymtl.runtime import JOBS, available_cores

JOBLIB, SUBMITIT = "JoblibLauncher", "LocalLauncher"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Slot:
    """Number ``index`` of ``slots`` on this machine, for as long as this process lives."""

    index: int
    slots: int
    lock: FileLock


_taken: dict[Path, Slot] = {}  # of this process, which may run several jobs: CUDA keeps the GPU that it began with


def take(hydra: Any) -> Slot | None:
    """A slot of this sweep for this process, with its cores and its GPU; None where no jobs run side by side."""
    slots = _side_by_side(hydra.launcher)
    if slots < 2:
        return None
    folder = Path(tempfile.gettempdir()) / f"hymtl-slots-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    folder /= Path(hydra.sweep.dir).absolute().as_posix().replace("/", "_")[-200:]
    if folder not in _taken:
        _taken[folder] = _free(folder, slots)
        _share_cores(_taken[folder])
        _one_gpu(_taken[folder])
    return _taken[folder]


def where() -> str:
    """The machine and the process that a job runs in, and under Ray its node."""
    ray = sys.modules.get("ray")
    node = f", Ray node {ray.get_runtime_context().get_node_id()}" if ray and ray.is_initialized() else ""
    return f"{socket.gethostname()}, process {os.getpid()}{node}"


def _side_by_side(launcher: DictConfig) -> int:
    """How many jobs run at a time on this machine, where the launcher leaves it to them to share it."""
    kind, jobs = launcher._target_.rpartition(".")[2], int(os.environ.get(JOBS, "0"))
    if kind == JOBLIB:
        asked = launcher.get("n_jobs", -1)
        at_a_time = asked if asked > 0 else max(1, available_cores() + 1 + asked)
        return min(at_a_time, jobs or at_a_time)
    return jobs if kind == SUBMITIT else 1


def _free(folder: Path, slots: int) -> Slot:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(slots):
        lock = FileLock(folder / f"{index}.lock")
        try:
            lock.acquire(timeout=0)
            return Slot(index, slots, lock)
        except Timeout:
            continue
    return Slot(0, slots, FileLock(folder / "0.lock"))  # more processes than said: better shared than not run


def _share_cores(slot: Slot) -> None:
    import torch

    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        own = cores[slot.index :: slot.slots] or [cores[slot.index % len(cores)]]
        os.sched_setaffinity(0, own)
        torch.set_num_threads(len(own))


def _one_gpu(slot: Slot) -> None:
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = 0 if visible == "" else torch.cuda.device_count()  # does not start CUDA
    gpus = visible.split(",") if visible else [str(number) for number in range(count)]
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[slot.index % len(gpus)]
        log.info("slot %d of %d: CUDA_VISIBLE_DEVICES=%s", slot.index, slot.slots, os.environ["CUDA_VISIBLE_DEVICES"])
