"""The LightningDataModule over a folder of photos."""

import logging
import os
from collections.abc import Iterator
from itertools import islice

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from hymtl.backbones import Preprocessing
from hymtl.data import transforms
from hymtl.data.dataset import EpochSampler, PhotoDataset, mix
from hymtl.data.photos import PhotoFolder
from hymtl.errors import HymtlError

log = logging.getLogger(__name__)


class PhotoDataModule(pl.LightningDataModule):
    """Batches of (pictures, labels): normalized float32 (N, 3, size, size) and int64 (N).

    ``batch_size`` is per device. ``augmentation`` and ``resize`` are the recipe's, see
    :mod:`hymtl.data.transforms`. ``workers`` is a number of processes or ``"auto"``. Pictures are decoded
    once and kept in memory as long as that takes at most ``cache_gb`` gigabytes.
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
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.photos, self.preprocessing, self.batch_size, self.seed = photos, preprocessing, batch_size, seed
        if resize < preprocessing.size:
            raise HymtlError(f"data.resize={resize} is less than the {preprocessing.size} pixels the network sees.")
        evaluation = transforms.evaluation(preprocessing, resize)
        self._transforms = {
            "train": transforms.training(preprocessing, augmentation, resize),
            "val": evaluation,
            "test": evaluation,
            "calibration": evaluation,
        }
        self.workers = _auto_workers() if workers == "auto" else int(workers)
        self._cache_bytes = cache_gb * 1e9
        self._datasets: dict[str, PhotoDataset] = {}

    def setup(self, stage: str | None = None) -> None:
        """Decode what fits into memory; the loaders call it themselves when it was not called yet."""
        self._dataset("train"), self._dataset("val")

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
        dataset = PhotoDataset(
            [photos[index] for index in chosen], self._transforms["calibration"], self.seed, cache=False, threads=1
        )
        for start in range(0, len(dataset), 16):
            pictures, _ = self._collate([dataset[0, i] for i in range(start, min(start + 16, len(dataset)))])
            yield pictures

    def _loader(self, split: str, shuffle: bool = False) -> DataLoader:
        dataset = self._dataset(split)
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=EpochSampler(len(dataset), self.seed, shuffle=shuffle),
            collate_fn=self._collate,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else every epoch of loading draws from the network's random state
        )

    def _dataset(self, split: str) -> PhotoDataset:
        if split not in self._datasets:
            photos = self.photos.splits[split]
            fits = self.photos.decoded_bytes <= self._cache_bytes
            self._datasets[split] = PhotoDataset(
                photos, self._transforms[split], self.seed, cache=fits, threads=available_cores()
            )
        return self._datasets[split]

    def _collate(self, items: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
        pictures, labels = zip(*items, strict=True)
        return transforms.normalize(torch.stack(pictures), self.preprocessing), torch.tensor(labels)


def available_cores() -> int:
    """Cores that this process may use, which under a cluster's scheduler are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _auto_workers() -> int:
    """None below four cores: with pictures decoded once, workers would only take cores from the network."""
    cores = available_cores()
    return 0 if cores < 4 else min(8, cores // 2)
