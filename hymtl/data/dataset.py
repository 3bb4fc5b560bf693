"""A split as a PyTorch dataset: decoded once, augmented by (seed, epoch, index)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from torchvision.transforms import v2

from hymtl.data.photos import Photo


class PhotoDataset(Dataset):
    """Items are (uint8 picture (3, size, size), label); keys are (epoch, index), as :class:`EpochSampler` gives.

    What is drawn at random for an item depends on (seed, epoch, index) alone, so neither the number of
    workers nor resuming changes a run. With ``cache`` every picture is decoded once, now, into memory.
    """

    def __init__(self, photos: list[Photo], transform: v2.Transform, seed: int, *, cache: bool, threads: int) -> None:
        self.photos, self.transform, self.seed = photos, transform, seed
        self._decoded: list[Tensor] | None = None
        if cache:
            with ThreadPoolExecutor(threads) as pool:
                self._decoded = list(pool.map(lambda photo: photo.decode(), photos))

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int]:
        epoch, index = key
        picture = self._decoded[index] if self._decoded else self.photos[index].decode()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mix(self.seed, epoch, index))
            return self.transform(picture), self.photos[index].label


class EpochSampler(Sampler):
    """Yields (epoch, index), shuffled anew by (seed, epoch) where ``shuffle``; Lightning calls ``set_epoch``."""

    def __init__(self, size: int, seed: int, *, shuffle: bool) -> None:
        self.size, self.seed, self.shuffle = size, seed, shuffle
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = range(self.size)
        if self.shuffle:
            generator = torch.Generator().manual_seed(mix(self.seed, self.epoch))
            order = torch.randperm(self.size, generator=generator).tolist()
        return ((self.epoch, index) for index in order)


def mix(*numbers: int) -> int:
    """One 32-bit seed from several numbers, far apart for numbers that are close."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
