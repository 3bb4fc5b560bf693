"""Run one experiment, or with -m a sweep of them: `python train.py --help`."""

import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float:
    from hymtl import experiment, results  # here, so that --help does not wait for torch

    result = experiment.run(cfg)
    print(results.summary(result, cfg.run_dir))
    return results.deployed_accuracy(result)  # what a Hydra sweeper maximizes


if __name__ == "__main__":
    main()
