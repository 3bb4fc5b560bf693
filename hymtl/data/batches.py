"""Where a network's batches come from: pictures here; kept features in :mod:`hymtl.features`."""

import heapq
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from hymtl.data import transforms
from hymtl.data.balance import shares
from hymtl.data.dataset import EpochSampler, PhotoDataset, SameEpochSampler
from hymtl.data.distortions import Distortion
from hymtl.data.loader import ThreadedLoader
from hymtl.data.photos import PhotoFolder
from hymtl.data.room import room
from hymtl.data.transforms import Augmentation
from hymtl.errors import HymtlError
from hymtl.preprocessing import Preprocessing
from hymtl.runtime import number_of_workers, of_workers

EVALUATION_BATCH = 16  # on a CPU more is no faster, and takes memory that training has no use for


class Batches(Protocol):
    """A source of batches: (inputs, labels int64 (N)) of each split, the same photos in the same order from each."""

    def loader(self, split: str, *, shuffle: bool = False) -> DataLoader:
        """The batches of ``"train"``, ``"val"`` or ``"test"``; another epoch's after ``loader.sampler.set_epoch``."""

    def by(self, backbone: Any) -> "Batches":
        """The same photos, for a network with another backbone."""

    def unaugmented(self) -> "Batches":
        """The same photos, those to train on as validation would see them."""


class PictureBatches:
    """Batches of pictures, normalized float32 (N, C, size, size), and the settings that say how they are made.

    ``batch_size`` is per device. :mod:`hymtl.data.transforms` explains ``augmentation``, ``distortion`` and ``resize``.
    With ``balance`` training draws each class as often as any other, see :mod:`hymtl.data.balance`.
    ``workers`` is a number of processes or ``"auto"``; without any, threads prepare the batches. ``views`` is the
    number of augmented views of a photo that epochs cycle through, None for a new one each epoch. What of a
    picture can be prepared once is kept in ``cache_gb`` gigabytes of memory as it first comes; where there is no
    room, it is decoded each time.
    """

    def __init__(
        self,
        photos: PhotoFolder,
        preprocessing: Preprocessing,
        *,
        batch_size: int = 4,
        augmentation: Augmentation = "random_resized_crop",
        distortion: Distortion | None = None,
        resize: int = 256,
        balance: bool = False,
        workers: int | str = "auto",
        cache_gb: float = 2.0,
        views: int | None = None,
        seed: int = 0,
    ) -> None:
        self.photos, self.preprocessing, self.batch_size, self.seed = photos, preprocessing, batch_size, seed
        self.augmentation, self.distortion, self.resize = augmentation, distortion, resize
        self.views, self.cache_gb = views, cache_gb
        self.balance = balance
        if resize < preprocessing.size:
            raise HymtlError(f"data.resize={resize} is less than the {preprocessing.size} pixels the network sees.")
        evaluation = transforms.evaluation(preprocessing, resize)
        training = transforms.training(preprocessing, augmentation, resize, distortion)
        self.overfit = False  # the same batches, in the same order, each epoch
        self._transforms = {"train": training, "val": evaluation, "test": evaluation}
        self._collate = partial(_collate, preprocessing=preprocessing)  # a worker gets it, and nothing of these batches
        self.workers = number_of_workers(workers)
        self._room = room(cache_gb * 1e9)
        self._datasets: dict[str, PhotoDataset] = {}

    def loader(self, split: str, *, shuffle: bool = False, batch_size: int | None = None) -> DataLoader:
        """Batches of (pictures, labels) of a split."""
        return ThreadedLoader(
            self.dataset(split),
            batch_size=batch_size or self.loaded(split),
            sampler=self.sampler(split, shuffle=shuffle),
            collate_fn=self._collate,
            num_workers=self.workers,
            multiprocessing_context=of_workers() if self.workers else None,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else every epoch of loading draws from the network's random state
        )

    def by(self, backbone: Any) -> "PictureBatches":
        """These: pictures are the same for every backbone."""
        return self

    def unaugmented(self) -> "PictureBatches":
        """The same, but training photos as validation sees them; nothing of them is kept in memory."""
        if not self.augments("train"):
            return self
        return PictureBatches(
            self.photos,
            self.preprocessing,
            batch_size=EVALUATION_BATCH,
            augmentation="none",
            resize=self.resize,
            workers=self.workers,
            cache_gb=0.0,
            seed=self.seed,
        )

    def calibration_batches(self, count: int = 64) -> Iterator[Tensor]:
        """``count`` training pictures, evenly over the classes in expectation, without augmentation.

        Those whose sha256 comes first, so that all seeds calibrate alike and a sweep but once; of folds, those of the
        first ones that are trained on, so that most runs of a cross-validation calibrate alike too.
        """
        fold_of, digests = self.photos.fold_of, self.photos.digests
        chosen = heapq.nsmallest(
            count, self.photos.splits["train"], key=lambda photo: (fold_of.get(photo.name, 0), digests[photo.name])
        )
        dataset = PhotoDataset(chosen, self._transforms["val"], self.seed, self._room)
        for start in range(0, len(dataset), 16):
            pictures, _ = self._collate([dataset[0, i] for i in range(start, min(start + 16, len(dataset)))])
            yield pictures

    def dataset(self, split: str) -> PhotoDataset:
        """The pictures of a split as the network sees them, but uint8."""
        if split not in self._datasets:
            photos = self.photos.splits[split]
            self._datasets[split] = PhotoDataset(photos, self._transforms[split], self.seed, self._room)
        return self._datasets[split]

    def first_batch(self, split: str) -> tuple[Tensor, Tensor]:
        """The first batch of (pictures, labels) of the first epoch, without preparing any more."""
        dataset = self.dataset(split)
        keys = islice(self.sampler(split, shuffle=split == "train"), self.batch_size)
        return self._collate([dataset[key] for key in keys])

    def augments(self, split: str) -> bool:
        """Whether the pictures of a split differ from view to view."""
        return self._transforms[split].augment is not None

    def loaded(self, split: str) -> int:
        """Pictures in a batch: ``batch_size`` in training; elsewhere, where it changes nothing, at least so many."""
        return self.batch_size if split == "train" else max(self.batch_size, EVALUATION_BATCH)

    def sampler(self, split: str, *, shuffle: bool) -> EpochSampler:
        """The order of a split's photos, and which view of each."""
        photos, training = self.photos.splits[split], split == "train"
        drawn = shares(photos) if training and self.balance else None
        views = self.views if training else None
        kind = SameEpochSampler if self.overfit else EpochSampler
        return kind(len(photos), self.seed, shuffle=shuffle, views=views, shares=drawn)


def _collate(items: list[tuple[Tensor, int]], preprocessing: Preprocessing) -> tuple[Tensor, Tensor]:
    pictures, labels = zip(*items, strict=True)
    return transforms.normalize(torch.stack(pictures), preprocessing), torch.tensor(labels)
