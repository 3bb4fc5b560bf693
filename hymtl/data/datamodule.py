"""The LightningDataModule: the loaders that a Trainer asks for, from a source of batches."""

from typing import cast

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from hymtl.data.batches import Batches, PictureBatches
from hymtl.data.dataset import EpochSampler, Part
from hymtl.errors import HymtlError


class PhotoDataModule(pl.LightningDataModule):
    """Batches of ``pictures``, or of what ``batches`` is set to: those that :mod:`hymtl.features` makes of them."""

    def __init__(self, pictures: PictureBatches) -> None:
        super().__init__()
        self.pictures = pictures
        self.batches: Batches = pictures
        self.begins_with = 0  # the epoch that a resumed run goes on with

    def setup(self, stage: str) -> None:
        self.pictures.overfit = self.trainer is not None and self.trainer.overfit_batches > 0

    def train_dataloader(self) -> DataLoader:
        loader = self.batches.loader("train", shuffle=True)
        if self.trainer is not None:
            # Lightning makes the iterator, from which worker processes draw at once, before it sets the epoch: after
            # a resume they would prepare that of epoch 0. Where a scheduler goes by steps, it even does so, to count
            # them, before it knows the epoch itself.
            known = self.trainer.fit_loop.epoch_progress.current.processed
            cast(EpochSampler, loader.sampler).set_epoch(max(known, self.begins_with))
        return self._shared(loader, "train", steps_of=loader.batch_size)

    def val_dataloader(self) -> DataLoader:
        return self._shared(self.batches.loader("val"), "val")

    def test_dataloader(self) -> DataLoader:
        """Pictures that nothing selects on: ``test/`` where there is one, else the validation photos again."""
        split = "test" if "test" in self.pictures.photos.splits else "val"
        return self._shared(self.batches.loader(split), split)

    def _shared(self, loader: DataLoader, split: str, steps_of: int | None = None) -> DataLoader:
        """The part of this process, where several train together.

        Lightning's own sampler repeats pictures until all processes have as many, which makes means of other photos
        than there are. Here each photo is in one process, and in training the number of steps is the same in all.

        Raises:
            HymtlError: if there are fewer photos than processes.
        """
        ranks = self.trainer.world_size if self.trainer else 1
        if ranks > 1:
            photos = len(self.pictures.photos.splits[split])
            if photos < ranks:
                raise HymtlError(
                    f"trainer.devices={ranks}: of the {photos} photos of {split} some processes would get none. "
                    f"Use trainer.devices={photos} or fewer."
                )
            sampler = cast(EpochSampler, loader.sampler)
            sampler.part = Part(self.trainer.global_rank, ranks, steps_of)
        return loader
