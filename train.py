"""Run one experiment, or with -m a sweep of them: `python train.py --help`."""

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from hymtl.errors import HymtlError
from hymtl.runtime import quicker_imports
from hymtl.sweep import preflight


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float | None:
    with quicker_imports():  # here, so that --help does not wait for torch
        from hymtl import experiment
        from hymtl.records import result
        from hymtl.sweep import job

    try:
        made = job.run(cfg) if HydraConfig.get().mode == RunMode.MULTIRUN else experiment.run(cfg)
    except HymtlError as error:
        raise CompactHydraException(str(error)) from error  # which Hydra prints without a traceback
    if made is None:  # not the first of several processes, or a job of a sweep that failed
        return None
    print(result.summary(made, cfg.run_dir))
    return made.accuracy  # what a Hydra sweeper maximizes


if __name__ == "__main__":
    sys.argv[1:] = preflight.refuse_or_announce(sys.argv[1:], Path(__file__).parent / "conf")
    main()
