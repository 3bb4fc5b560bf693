"""What makes Hydra run the race of experiment=choose. Hydra takes plugins from this package alone, so it is here."""

from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


class Choose(Sweeper):
    """A sweeper that looks at each job's result before it launches the next; see :mod:`hymtl.choose.race`."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self.launched = 0

    def sweep(self, arguments: list[str]) -> Any:
        from hymtl.choose import jobs, race  # here, as Hydra imports this file at every start

        self.launched = jobs.finished(self.config)
        race.run(self.config, arguments, self._check, self._launch)

    def _check(self, words: list[str], folders: dict[int, Path]) -> None:
        from hymtl import fingerprint
        from hymtl.sweep import job

        cfg = self.hydra_context.config_loader.load_sweep_config(self.config, words)
        with open_dict(cfg):
            del cfg["hydra"]
        for fold, folder in folders.items():
            cfg.data.fold = fold
            job.check_same(folder, fingerprint.settings(cfg))

    def _launch(self, batch: list[list[str]]) -> None:
        self.launched += len(batch)
        self.launcher.launch(batch, initial_job_idx=self.launched - len(batch))
