"""The LightningDataModule over a folder of photos."""

from collections.abc import Iterator

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from hymtl.backbones import Preprocessing
from hymtl.data import transforms
from hymtl.data.dataset import EpochSampler, PhotoDataset, mix
from hymtl.data.loader import ThreadedLoader, available_cores
from hymtl.data.photos import PhotoFolder
from hymtl.errors import HymtlError


class PhotoDataModule(pl.LightningDataModule):
    """Batches of (pictures, labels): normalized float32 (N, 3, size, size) and int64 (N).

    ``batch_size`` is per device. ``augmentation`` and ``resize`` are the recipe's, see
    :mod:`hymtl.data.transforms`. ``workers`` is a number of processes or ``"auto"``; without any, threads prepare
    the batches. ``views`` is the number of augmented views of a photo that epochs cycle through, None for
    a new one each epoch. Pictures, as far as they can be prepared once, are kept in ``cache_gb`` gigabytes
    of memory; those that find no room there are decoded each time.
    """

    def __init__(
        self,
        photos: PhotoFolder,
        preprocessing: Preprocessing,
        *,
        batch_size: int = 4,
        augmentation: str = "random_resized_crop",
        resize: int = 256,
        workers: int | str = "auto",
        cache_gb: float = 2.0,
        views: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.photos, self.preprocessing, self.batch_size, self.seed = photos, preprocessing, batch_size, seed
        self.augmentation, self.resize, self.views = augmentation, resize, views
        if resize < preprocessing.size:
            raise HymtlError(f"data.resize={resize} is less than the {preprocessing.size} pixels the network sees.")
        evaluation = transforms.evaluation(preprocessing, resize)
        training = transforms.training(preprocessing, augmentation, resize)
        self._recipes = {"train": training, "val": evaluation, "test": evaluation}
        self.workers = _auto_workers() if workers == "auto" else int(workers)
        self._budget = cache_gb * 1e9  # bytes of memory left for pictures
        self._datasets: dict[str, PhotoDataset] = {}

    def setup(self, stage: str | None = None) -> None:
        """Prepare what fits into memory; the loaders call it themselves when it was not called yet."""
        self.dataset("val"), self.dataset("train")

    def train_dataloader(self) -> DataLoader:
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return self._loader("val")

    def test_dataloader(self) -> DataLoader:
        """Pictures that nothing selects on: ``test/`` where there is one, else the validation photos again."""
        return self._loader("test" if "test" in self.photos.splits else "val")

    def calibration_batches(self, count: int = 64) -> Iterator[Tensor]:
        """``count`` training pictures, evenly over the classes in expectation, without augmentation."""
        photos = self.photos.splits["train"]
        generator = torch.Generator().manual_seed(mix(self.seed))
        chosen = torch.randperm(len(photos), generator=generator)[:count].tolist()
        dataset = PhotoDataset([photos[index] for index in chosen], self._recipes["val"], self.seed)
        for start in range(0, len(dataset), 16):
            pictures, _ = self._collate([dataset[0, i] for i in range(start, min(start + 16, len(dataset)))])
            yield pictures

    def dataset(self, split: str) -> PhotoDataset:
        """The pictures of a split as the network sees them, but uint8."""
        if split not in self._datasets:
            self._datasets[split] = PhotoDataset(self.photos.splits[split], self._recipes[split], self.seed)
            self._budget -= self._datasets[split].keep(self._budget, available_cores())
        return self._datasets[split]

    def _loader(self, split: str, shuffle: bool = False) -> DataLoader:
        dataset = self.dataset(split)
        return ThreadedLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=EpochSampler(
                len(dataset), self.seed, shuffle=shuffle, views=self.views if split == "train" else None
            ),
            collate_fn=self._collate,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else every epoch of loading draws from the network's random state
        )

    def _collate(self, items: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
        pictures, labels = zip(*items, strict=True)
        return transforms.normalize(torch.stack(pictures), self.preprocessing), torch.tensor(labels)


def _auto_workers() -> int:
    """None below four cores: with pictures decoded once, workers would only take cores from the network."""
    cores = available_cores()
    return 0 if cores < 4 else min(8, cores // 2)
