"""Run one experiment, or with -m a sweep of them: `python train.py --help`."""

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from hymtl.imports import quicker_imports


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float | None:
    with quicker_imports():  # here, so that --help does not wait for torch
        from hymtl import experiment, results
        from hymtl.sweep import job

    result = job.run(cfg) if HydraConfig.get().mode == RunMode.MULTIRUN else experiment.run(cfg)
    if result is None:  # not the first of several processes, or a job of a sweep that failed
        return None
    print(results.summary(result, cfg.run_dir))
    return results.deployed_accuracy(result)  # what a Hydra sweeper maximizes


if __name__ == "__main__":
    main()
