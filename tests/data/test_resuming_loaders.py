"""After a resume, worker processes prepare the epoch that comes, not the first one."""

import torch

from tests.conftest import prepare

SMALL = [
    "strategy=scratch", "backbone=garment_cnn", "data=folder", "data.resize=28", "trainer.enable_progress_bar=false",
    "trainer.accelerator=cpu", "~callbacks.pictures", "~callbacks.features",
]  # fmt: skip


def test_resuming_with_workers_equals_never_having_stopped(config, pictures, tmp_path):
    def weights(folder, *words):
        cfg = config(*SMALL, f"data.root={pictures}", *words)
        cfg.run_dir = str(tmp_path / folder)
        module, data, trainer = prepare(cfg)
        trainer.fit(module, data, ckpt_path=cfg.ckpt_path)
        return torch.cat([value.flatten() for value in module.network.state_dict().values()])

    whole = weights("whole", "data.workers=0", "epochs=3")
    weights("stopped", "data.workers=2", "epochs=2")
    last = f"ckpt_path={tmp_path}/stopped/checkpoints/last.ckpt"
    assert torch.equal(whole, weights("stopped", "data.workers=2", "epochs=3", last))
