"""One of a run's processes: ``python -m hymtl.worker``, as :mod:`hymtl.processes` starts it."""

import logging
import multiprocessing
import os
import sys
import threading
from pathlib import Path
from typing import cast

from omegaconf import DictConfig, OmegaConf

from hymtl import processes
from hymtl.errors import HymtlError
from hymtl.runtime import available_cores, number_of_workers, quicker_imports
from hymtl.signals import OutOfTime


def main() -> None:
    """Exits with 1 where the run failed; an error that is meant to be read is left in the folder."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    folder, rank = Path(os.environ[processes.FOLDER]), int(os.environ[processes.RANK])
    cfg = OmegaConf.load(folder / processes.CONFIG)
    assert isinstance(cfg, DictConfig)
    _configure_log(folder, rank)
    serve_loaders(number_of_workers(cfg.data.workers))
    with quicker_imports():
        import torch

        from hymtl import experiment

    torch.set_num_threads(max(1, available_cores() // int(os.environ[processes.RANKS])))
    try:
        experiment.run(cfg)
    except (HymtlError, OutOfTime) as error:
        processes.error_file(folder, rank).write_text(str(error))
        sys.exit(processes.OUT_OF_TIME if isinstance(error, OutOfTime) else 1)


def _configure_log(folder: Path, rank: int) -> None:
    """The first process logs as the run does, the others errors alone: all would say the same."""
    if rank:
        logging.basicConfig(format=f"[%(levelname)s] process {rank}: %(message)s")
        logging.root.handlers[0].setLevel(logging.ERROR)
    elif (folder / processes.LOGGING).is_file():
        from hydra.core.utils import configure_log

        configure_log(cast(DictConfig, OmegaConf.load(folder / processes.LOGGING)))


def serve_loaders(workers: int) -> None:
    """Workers of loaders come from a server without threads, which imports torch meanwhile.

    One forked from here may wait forever for what a thread by which processes talk to each other held just then:
    torch's documentation of DistributedDataParallel warns of it, see python/cpython#112275 too.
    """
    if workers and "forkserver" in multiprocessing.get_all_start_methods():
        from multiprocessing import forkserver

        multiprocessing.set_start_method("forkserver")
        multiprocessing.set_forkserver_preload(["hymtl.data.batches"])
        forkserver.ensure_running()


def _end_with_parent() -> None:
    os.read(0, 1)  # returns when the other end is closed; not sys.stdin, whose lock would be held at the end
    processes.end_group(os.getpid())
    os._exit(1)


if __name__ == "__main__":
    main()
