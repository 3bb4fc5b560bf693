"""A split as a PyTorch dataset: what is fixed computed once, what is random drawn by seed, view and picture."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler, SequentialSampler

from hymtl.data.photos import Photo
from hymtl.data.room import Room, Shelf
from hymtl.data.transforms import Transform


class Key(NamedTuple):
    """Which picture, in which of its views, and the how-manieth time in the epoch it comes, from 0."""

    view: int
    number: int  # of the picture in its split
    time: int = 0


T = TypeVar("T")


class Part(NamedTuple):
    """What of an epoch's pictures is for process ``rank`` of ``ranks``: one in turn, so parts differ by one at most.

    With ``steps_of``, a number of pictures, every process has as many batches of that size: a last picture or two,
    which would make one more batch for some processes only, are left out. Shuffled, they are others in each epoch.
    """

    rank: int = 0
    ranks: int = 1
    steps_of: int | None = None

    def of(self, pictures: Sequence[T]) -> Sequence[T]:
        """Those of this process, in their order."""
        left_out = len(pictures) % (self.ranks * self.steps_of) if self.steps_of else 0
        end = len(pictures) - (left_out if left_out < self.ranks else 0)
        return pictures[self.rank : end : self.ranks]


class PhotoDataset(Dataset):
    """Items are (uint8 picture (C, size, size), label); keys are those of :class:`Key`.

    What is drawn at random for an item depends on the seed, the view, the picture's own sha256 and ``time`` alone. So
    neither the number of workers or threads nor resuming changes a run, and a picture looks the same whatever else is
    in its split: folds, and a folder that grows, share what was computed of it. A picture, as far as it can be prepared
    once, is kept in ``room`` when it first comes, so that training begins before all are decoded; the next run in this
    process finds it there.
    """

    def __init__(self, photos: list[Photo], transform: Transform, seed: int, room: Room | None = None) -> None:
        self.photos, self.transform, self.seed = photos, transform, seed
        known = [photo.sha256 for photo in photos]
        self._shelf = room.shelf(known, str(transform.once)) if room else Shelf(None, len(photos))

    @property
    def decodes(self) -> bool:
        """Whether some pictures were not seen yet, or found no room and are decoded each time."""
        return not self._shelf.whole

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, key: tuple[int, ...]) -> tuple[Tensor, int]:
        view, index, time = Key(*key)
        picture = self._shelf.get(index)
        if picture is None:
            picture = self.photos[index].decode(self.transform.once)
            self._shelf.put(index, picture)
        if self.transform.augment is not None:
            generator = torch.Generator().manual_seed(
                mix(self.seed, view, int(self.photos[index].digest[:16], 16), time)
            )
            picture = self.transform.augment(picture, generator)
        return picture, self.photos[index].label


class EpochSampler(Sampler):
    """Yields a :class:`Key` for each picture, shuffled anew by (seed, epoch) where ``shuffle``.

    Lightning calls ``set_epoch``. Every epoch is a view of its own, or, with ``views``, one of so many that come around
    again. With ``shares``, shuffling draws as many as there are, each as often as its share says, some repeatedly and
    others not. Set ``chosen`` to the indices of some pictures to have these alone, in their order, and ``part`` to
    have those of one process of several.
    """

    def __init__(
        self,
        size: int,
        seed: int,
        *,
        shuffle: bool,
        views: int | None = None,
        shares: Sequence[float] | None = None,
    ) -> None:
        self.size, self.seed, self.shuffle, self.views, self.shares = size, seed, shuffle, views, shares
        self.epoch = 0
        self.chosen: Sequence[int] = range(size)
        self.part = Part()

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.part.of(range(len(self.chosen))))

    def __iter__(self) -> Iterator[Key]:
        return iter(self.part.of(list(self._keys())))

    def _keys(self) -> Iterator[Key]:
        """Those of all processes."""
        order = self.chosen
        if self.shuffle:
            generator = torch.Generator().manual_seed(mix(self.seed, self.epoch))
            order = self._drawn(generator).tolist()
        view = self.epoch % self.views if self.views else self.epoch
        times: Counter[int] = Counter()
        for index in order:
            yield Key(view, index, times[index])
            times[index] += 1

    def _drawn(self, generator: torch.Generator) -> Tensor:
        if self.shares is None:
            return torch.randperm(self.size, generator=generator)
        shares = torch.tensor(self.shares, dtype=torch.float64)
        return torch.multinomial(shares, self.size, replacement=True, generator=generator)


class SameEpochSampler(EpochSampler, SequentialSampler):  # type: ignore[misc]
    """The first epoch again and again. Lightning, asked to overfit, leaves only its like as they are."""

    def set_epoch(self, epoch: int) -> None:
        pass


def mix(*numbers: int) -> int:
    """One 32-bit seed from several numbers, far apart for numbers that are close."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
