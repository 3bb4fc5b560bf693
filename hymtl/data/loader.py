"""Batches decoded ahead by threads, for machines too small for worker processes."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, cast

import torch
from torch.utils.data import BatchSampler, DataLoader

from hymtl.data.dataset import PhotoDataset
from hymtl.runtime import available_cores


class ThreadedLoader(DataLoader):
    """A DataLoader that has a thread a core decode the next batches meanwhile where ``dataset.decodes``.

    Decoding lets go of Python's lock, and threads, unlike processes, share the pictures in memory. The
    dataset must allow several threads at a time. Batches come in the sampler's order. With worker processes, or where
    all is decoded already, it is a DataLoader: augmenting then takes a hundredth of a step.
    """

    dataset: PhotoDataset

    def __iter__(self) -> Any:
        return self._ahead() if self.dataset.decodes and not self.num_workers else super().__iter__()

    def _ahead(self) -> Iterator[Any]:
        """Each thread has one thread of torch, and all end before the last batch is given away, as Lightning asks for
        none after it. Where teams of OpenMP have more threads than there are cores, those that wait go to sleep at
        once (libgomp's GOMP_SPINCOUNT), and waking the network's at each layer takes a third of a training step."""
        cores, threads = available_cores(), torch.get_num_threads()
        pool = ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,))
        try:
            coming = iter(cast(BatchSampler, self.batch_sampler))
            waiting = deque(pool.submit(self._batch, keys) for keys in islice(coming, cores + 1))
            while waiting:
                batch = waiting.popleft().result()
                waiting.extend(pool.submit(self._batch, keys) for keys in islice(coming, 1))
                if not waiting:
                    pool.shutdown()
                yield batch
        finally:  # also where whoever reads stops early
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)  # or threads that start later have one as well

    def _batch(self, keys: list) -> Any:
        batch = self.collate_fn([self.dataset[key] for key in keys])
        return tuple(part.pin_memory() for part in batch) if self.pin_memory else batch
