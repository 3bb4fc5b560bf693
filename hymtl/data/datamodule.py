"""The LightningDataModule: the loaders that a Trainer asks for, from a source of batches."""

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from hymtl.data.batches import Batches, PictureBatches


class PhotoDataModule(pl.LightningDataModule):
    """Batches of ``pictures``, or of what ``batches`` is set to: those that :mod:`hymtl.features` makes of them."""

    def __init__(self, pictures: PictureBatches) -> None:
        super().__init__()
        self.pictures = pictures
        self.batches: Batches = pictures

    def setup(self, stage: str) -> None:
        self.pictures.overfit = self.trainer is not None and self.trainer.overfit_batches > 0

    def train_dataloader(self) -> DataLoader:
        return self.batches.loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return self.batches.loader("val")

    def test_dataloader(self) -> DataLoader:
        """Pictures that nothing selects on: ``test/`` where there is one, else the validation photos again."""
        return self.batches.loader("test" if "test" in self.pictures.photos.splits else "val")
