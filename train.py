"""Run one experiment, or with -m a sweep of them: `python train.py --help`."""

import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float | None:
    from hymtl import experiment, results  # here, so that --help does not wait for torch

    result = experiment.run(cfg)
    if result is None:  # not the first of several processes
        return None
    print(results.summary(result, cfg.run_dir))
    return results.deployed_accuracy(result)  # what a Hydra sweeper maximizes


if __name__ == "__main__":
    main()
