"""One run in several processes of this machine, a process for each device; this one only waits for them.

Lightning's ``ddp`` starts the command line again, which in a sweep starts the sweep again and elsewhere another output
folder, and makes this process the first of all, so that the end of another ends it (hydra#2070, Lightning#11300);
its ``ddp_spawn`` loses what was made in the processes. So hymtl starts them itself, alone and under any launcher:
each runs :mod:`hymtl.worker` with the config as it was composed, in this run's folder, and Lightning takes them as it
takes those of torchrun. The first writes the log, the checkpoints and the record.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from hymtl import records, settings
from hymtl.errors import HymtlError
from hymtl.records import result
from hymtl.signals import OutOfTime

RANK, RANKS, FOLDER = "LOCAL_RANK", "WORLD_SIZE", "HYMTL_PROCESSES"  # in the environment of each process
CONFIG, LOGGING = "config.yaml", "logging.yaml"  # in that folder
OUT_OF_TIME = 75  # the exit code of a process that raised it: "try again later" in sysexits.h
POLL = 0.1  # seconds between looks at whether all are still running


def wanted(cfg: DictConfig) -> int | None:
    """How many processes this one should start; None where the run is its own, or it is one of them."""
    if RANK in os.environ:
        return None
    count = settings.devices(cfg.trainer)
    if count is None:
        count = _all(cfg.trainer.get("accelerator", "auto"))
    return count if count > 1 else None


def run(cfg: DictConfig) -> result.Result | None:
    """The record of a run in ``wanted(cfg)`` processes; None where it makes none, as with ``fast_dev_run``.

    Raises:
        HymtlError: with the error of the first process that failed, or the signal that ended it.
        OutOfTime: as the first process that did.
    """
    count = wanted(cfg)
    assert count
    with tempfile.TemporaryDirectory(prefix="hymtl-") as folder:
        _write(cfg, Path(folder))
        started: list[subprocess.Popen] = []
        try:
            port = _free_port()
            for rank in range(count):
                started.append(_start(rank, count, port, folder))
            _wait(started, Path(folder))
        finally:
            _stop(started)
    file = Path(cfg.run_dir) / result.FILE
    return records.read(result.Result, file) if file.is_file() else None


def error_file(folder: Path, rank: int) -> Path:
    """Where a process leaves the error that the user should read."""
    return folder / f"error{rank}.txt"


def trainer_arguments(*, phased: bool) -> dict[str, Any]:
    """What a Trainer needs beside its settings, in a process that :func:`run` started, and elsewhere.

    With ``phased``, not all that trains in some epoch trains in every one.
    """
    if FOLDER not in os.environ:
        return {"strategy": "auto"} if RANK not in os.environ else {}
    from pytorch_lightning.plugins.environments import LightningEnvironment

    return {
        "strategy": "ddp_find_unused_parameters_true" if phased else "ddp",
        "devices": int(os.environ[RANKS]),
        "plugins": [LightningEnvironment()],  # under Slurm too, which knows of one process alone
    }


def _all(accelerator: str) -> int:
    from torch import cuda

    return cuda.device_count() if accelerator in ("auto", "gpu", "cuda") and cuda.is_available() else 1


def _write(cfg: DictConfig, folder: Path) -> None:
    """The config, and, under Hydra, how it logs; interpolations stay, as they say what was not given."""
    whole = cfg.copy()
    with open_dict(whole):
        whole.run_dir = str(Path(cfg.run_dir).absolute())  # known to Hydra alone
    OmegaConf.save(whole, folder / CONFIG)
    if HydraConfig.initialized():
        logging = OmegaConf.to_container(HydraConfig.get().job_logging, resolve=True)
        OmegaConf.save(OmegaConf.create(logging), folder / LOGGING)


def _start(rank: int, count: int, port: int, folder: str) -> subprocess.Popen:
    own = {RANK: rank, RANKS: count, FOLDER: folder, "NODE_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    environment = os.environ | {name: str(value) for name, value in own.items()}
    root = str(Path(__file__).parents[1])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    # Through stdin a process knows when this one has died. A terminal's Ctrl-C is for this one alone, and its group is
    # a session of its own, so that the workers of its loaders end with it: see _stop.
    return subprocess.Popen(
        [sys.executable, "-m", "hymtl.worker"], env=environment, stdin=subprocess.PIPE, start_new_session=True
    )


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def _wait(started: Sequence[subprocess.Popen], folder: Path) -> None:
    """Until all have ended, or one has failed: the others wait for it in vain."""
    codes: list[int | None] = [None]
    while None in codes and not any(codes):
        time.sleep(POLL)
        codes = [process.poll() for process in started]
    if any(codes):
        raised = OutOfTime if OUT_OF_TIME in codes else HymtlError
        raise raised(_failure(started, codes, folder))


def _failure(started: Sequence[subprocess.Popen], codes: Sequence[int | None], folder: Path) -> str:
    told = [error_file(folder, rank) for rank in range(len(started)) if error_file(folder, rank).is_file()]
    if told:
        return told[0].read_text()
    rank, code = next((rank, code) for rank, code in enumerate(codes) if code)
    ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return (
        f"Process {rank} of {len(started)} (pid {started[rank].pid}) {ended}, so the others were stopped. The epochs "
        "that were finished are in checkpoints/last.ckpt."
    )


def _stop(started: Sequence[subprocess.Popen]) -> None:
    """At once, as a process that waits for another hears nothing else; files are whole whatever is cut short."""
    for process in started:
        end_group(process.pid)
        process.kill()  # where there are no groups
    for process in started:
        process.wait()
        if process.stdin:
            process.stdin.close()


def end_group(process: int) -> None:
    """Kill a process of a run, and the workers of its loaders, which would look for it only every five seconds."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):  # all have ended; so macOS says it of zombies
            os.killpg(process, signal.SIGKILL)
