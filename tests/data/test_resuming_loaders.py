"""After a resume, worker processes prepare the epoch that comes, not the first one."""

import pytest
import pytorch_lightning as pl
import torch

from tests.conftest import prepare

SMALL = [
    "strategy=scratch", "backbone=garment_cnn", "data=folder", "data.resize=28", "trainer.enable_progress_bar=false",
    "trainer.accelerator=cpu", "~callbacks.pictures", "~callbacks.features",
]  # fmt: skip


class AfterTwoEpochs(pl.Callback):
    """A stop: of three epochs that a scheduler by step plans with."""

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop = trainer.current_epoch == 1


@pytest.mark.parametrize("scheduler", ["step", "warmup"])
def test_resuming_with_workers_equals_never_having_stopped(config, pictures, tmp_path, scheduler):
    def weights(folder, *words, stop=()):
        cfg = config(*SMALL, f"data.root={pictures}", "epochs=3", f"scheduler={scheduler}", *words)
        cfg.run_dir = str(tmp_path / folder)
        module, data, trainer = prepare(cfg)
        trainer.callbacks.extend(stop)
        trainer.fit(module, data, ckpt_path=cfg.ckpt_path)
        return torch.cat([value.flatten() for value in module.network.state_dict().values()])

    whole = weights("whole", "data.workers=0")
    weights("stopped", "data.workers=2", stop=[AfterTwoEpochs()])
    last = f"ckpt_path={tmp_path}/stopped/checkpoints/last.ckpt"
    assert torch.equal(whole, weights("stopped", "data.workers=2", last))
