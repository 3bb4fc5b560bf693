"""What a backbone, or its first part, gives where it does not change: computed once, in large batches.

Shapes: N photos; features are (N, F) of a whole backbone, (N, C, H, W) of most first parts.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, cast

import PIL
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from hymtl.data.batches import PictureBatches
from hymtl.data.dataset import EpochSampler, Key
from hymtl.features.store import FeatureStore
from hymtl.identity import identity
from hymtl.network import Activations

BATCH = 32  # pictures that go through the backbone at a time
FORMAT = 3  # of the facts that make a key, and of what is kept under it


class FeatureBatches:
    """Batches of what a fixed backbone makes of ``data``: features, float32, on the CPU, of each split and view.

    ``backbone`` must give the same for a picture whatever else is in the batch, so in eval mode, on ``device``. Batches
    are all of one size, as kernels round otherwise at other sizes: so what a picture gives is the same to the bit
    whichever others are computed with it. With ``bf16`` it runs in mixed precision.

    Views of training photos differ by augmentation; other splits have view 0 alone. A view is looked for in memory,
    then in ``store``, picture by picture, and what is missing is computed: other folds of the same pictures find nearly
    all. ``counts`` has how many views were ``"found"``, and how many ``"computed"`` at least in part. Memory holds the
    last view of each split, and others that come again as far as they go into the data's ``cache_gb`` gigabytes.
    """

    def __init__(
        self,
        backbone: nn.Module,
        data: PictureBatches,
        device: torch.device,
        store: FeatureStore,
        counts: Counter | None = None,
        *,
        bf16: bool = False,
    ) -> None:
        self.backbone = backbone.to(device)
        self.data, self.device, self.store, self.bf16 = data, device, store, bf16
        self.counts = Counter() if counts is None else counts
        self._views: dict[tuple[str, int], Tensor] = {}
        self._pictures: dict[str, DataLoader] = {}
        self._identity = identity(backbone)

    def by(self, backbone: nn.Module) -> "FeatureBatches":
        """Those of another backbone, on the CPU; kept and counted with these."""
        return FeatureBatches(backbone, self.data, torch.device("cpu"), self.store, self.counts, bf16=self.bf16)

    def unaugmented(self) -> "FeatureBatches":
        """Those of the same photos without augmentation; kept and counted with these."""
        data = self.data.unaugmented()
        if data is self.data:
            return self
        return FeatureBatches(self.backbone, data, self.device, self.store, self.counts, bf16=self.bf16)

    def gigabytes(self) -> float:
        """Memory that one view of every photo takes."""
        size, channels = self.data.preprocessing.size, self.data.preprocessing.channels
        each = self._run([torch.zeros(1, channels, size, size)])
        return each.nbytes * sum(map(len, self.data.photos.splits.values())) / 1e9

    def loader(self, split: str, *, shuffle: bool = False) -> DataLoader:
        """Batches of (:class:`Activations`, labels (N)): the photos, in the order, of the same loader of pictures."""
        return DataLoader(
            _FeatureDataset(self, split),
            batch_size=self.data.loaded(split),
            sampler=self.data.sampler(split, shuffle=shuffle),
            collate_fn=_as_it_is,
            generator=torch.Generator(),  # else every epoch of loading draws from the network's random state
        )

    def view(self, split: str, view: int) -> Tensor:
        """Features of the photos of a split in their order, augmented as ``view`` says."""
        if not self.data.augments(split):
            view = 0
        if (split, view) not in self._views:
            self._make_room(split)
            self._views[split, view] = self._stored_or_computed(split, view)
        return self._views[split, view]

    def _make_room(self, split: str) -> None:
        """In memory, for a view of a split: where need be, the last one goes.

        Without ``views`` none comes again. With them the first stay: the last is what a cycle wants last.
        """
        held = [key for key in self._views if key[0] == split]
        if held:
            wanted = self._views[held[-1]].nbytes + sum(features.nbytes for features in self._views.values())
            if not self.data.views or wanted > self.data.cache_gb * 1e9:
                del self._views[held[-1]]

    def _stored_or_computed(self, split: str, view: int) -> Tensor:
        key = hashlib.sha256(json.dumps(self._facts(split, view), sort_keys=True).encode()).hexdigest()
        photos = [photo.digest for photo in self.data.photos.splits[split]]
        kept = self.store.load(key)
        missing = [index for index, digest in enumerate(photos) if digest not in kept]
        self.counts["computed" if missing else "found"] += 1
        if missing:
            computed = self._compute(split, view, missing)
            kept |= dict(zip((photos[index] for index in missing), computed, strict=True))
            known = set(self.data.photos.digests.values())  # of other pictures nothing is kept on
            self.store.save(key, {digest: features for digest, features in kept.items() if digest in known})
        return torch.stack([kept[digest] for digest in photos])

    def _compute(self, split: str, view: int, chosen: list[int]) -> Tensor:
        """Features (len(chosen), ...) of some pictures of a split."""
        if split not in self._pictures:
            self._pictures[split] = self.data.loader(split, batch_size=BATCH)
        pictures = self._pictures[split]
        sampler = cast(EpochSampler, pictures.sampler)
        sampler.set_epoch(view)
        sampler.chosen = chosen
        return self._run(batch for batch, _ in pictures)

    def _run(self, batches: Iterable[Tensor]) -> Tensor:
        # Validation asks in inference mode, whose tensors could never be trained on.
        rounding = torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)
        with torch.inference_mode(False), torch.no_grad(), rounding:
            return torch.cat([self._whole(batch)[: len(batch)].float().cpu() for batch in batches])

    def _whole(self, batch: Tensor) -> Tensor:
        """What the backbone gives for a batch filled up to BATCH with its first picture."""
        filling = batch[:1].expand(BATCH - len(batch), *batch.shape[1:])
        filled = torch.cat([batch, filling]).contiguous(memory_format=torch.channels_last)
        return self.backbone(filled.to(self.device))

    def _facts(self, split: str, view: int) -> dict:
        """All that the features of a view depend on, but the pictures: each one's are kept under its digest."""
        data = self.data
        return {
            "format": FORMAT,
            "backbone": self._identity,
            "engine": torch.backends.quantized.engine if _runs_in_int8(self.backbone) else None,
            "dataset": [data.photos.name, data.photos.classes],
            "preprocessing": data.preprocessing.as_dict(),
            "resize": data.resize,
            "augmentation": [data.augmentation, data.distortion, data.seed, view] if data.augments(split) else None,
            "versions": [torch.__version__, torchvision.__version__, PIL.__version__],
            "bf16": self.bf16,
            "device": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type,
        }


class _FeatureDataset(Dataset):
    """Whole batches by their keys, as :class:`EpochSampler` gives them."""

    def __init__(self, features: FeatureBatches, split: str) -> None:
        self.features, self.split = features, split
        self.labels = torch.tensor([photo.label for photo in features.data.photos.splits[split]])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, keys: list[Key]) -> tuple[Activations, Tensor]:
        (view,) = {key.view for key in keys}
        indices = torch.tensor([key.number for key in keys])
        return Activations(self.features.view(self.split, view)[indices]), self.labels[indices]


def _as_it_is(batch: Any) -> Any:
    return batch


def _runs_in_int8(backbone: nn.Module) -> bool:
    """Whether the quantized engine has a part in what a backbone gives, as it has in none of a float one's."""
    return any(
        not isinstance(value, Tensor) or value.is_quantized or value.dtype == torch.int8
        for value in backbone.state_dict().values()
    )
