"""Convert the best network when fitting ends."""

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_only

from hymtl import artifact, evaluation


class ConvertBest(pl.Callback):
    """As the last act of fitting, turn a copy of the network with the best weights into what is deployed.

    Where the strategy quantizes, that is ``torch.ao.quantization.convert``, on the CPU. The copy is scored
    on the validation photos (``score``) and, where there is a test part, on that (``test_score``), timed on one photo
    (``latency``, in seconds) and saved as an artifact in ``dirpath``; the module that was fitted stays as it was, on
    its device, so that it can be tested or fitted again.
    """

    def __init__(self, dirpath: str) -> None:
        self.dirpath = Path(dirpath)
        self.score: evaluation.Score | None = None
        self.test_score: evaluation.Score | None = None
        self.latency: float | None = None

    @rank_zero_only
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        best = trainer.checkpoint_callback.best_model_path
        if not best:  # fast_dev_run and the like: nothing was trained that could be deployed
            return
        copy = type(pl_module).load_from_checkpoint(best, map_location="cpu")
        network = copy.strategy.finish(copy.network, trainer.datamodule.calibration_batches())
        self.score = evaluation.score(network, trainer.datamodule.val_dataloader())
        if "test" in trainer.datamodule.photos.splits:
            self.test_score = evaluation.score(network, trainer.datamodule.test_dataloader())
        self.latency = evaluation.latency(network, next(iter(trainer.datamodule.val_dataloader()))[0][:1])
        artifact.save(self.dirpath, network, copy.hparams)
