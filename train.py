"""Run one experiment, or with -m a sweep of them: `python train.py --help`."""

from hymtl import signals

if __name__ == "__main__":
    signals.handle("the same command, as nothing is saved yet")  # before what takes a while to import

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from hymtl import resuming
from hymtl.errors import HymtlError
from hymtl.runtime import quicker_imports
from hymtl.sweep import preflight

CONF = Path(__file__).parent / "conf"


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float | None:
    with quicker_imports():  # here, so that --help does not wait for torch
        from hymtl import single
        from hymtl.records import result
        from hymtl.sweep import job

    try:
        made = job.run(cfg) if HydraConfig.get().mode == RunMode.MULTIRUN else single.run(cfg)
    except HymtlError as error:
        raise CompactHydraException(str(error)) from error  # which Hydra prints without a traceback
    if made is None:  # not the first of several processes, or a job of a sweep that failed
        return None
    print(result.summary(made, cfg.run_dir))
    return made.accuracy  # what a Hydra sweeper maximizes


if __name__ == "__main__":
    sys.argv[1:] = preflight.refuse_or_announce(resuming.prepared_or_exit(sys.argv[1:], CONF), CONF)
    main()
