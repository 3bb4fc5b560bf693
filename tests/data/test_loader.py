"""Batches decoded by threads, which must leave the network's own threads alone."""

import threading

import torch
from torch.utils.data import Dataset

from hymtl.data.loader import ThreadedLoader


class _Decoding(Dataset):
    """Pictures of the threads that the thread has which makes them."""

    decodes = True

    def __len__(self) -> int:
        return 6

    def __getitem__(self, key: int) -> torch.Tensor:
        return torch.tensor([key, torch.get_num_threads()])


def test_threads_that_decode_have_no_threads_of_their_own_and_change_nobody_elses():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        batches = torch.cat(list(ThreadedLoader(_Decoding(), batch_size=2)))
        assert batches[:, 0].tolist() == list(range(6))
        assert set(batches[:, 1].tolist()) == {1}
        assert torch.get_num_threads() == 3
        assert _in_a_new_thread(torch.get_num_threads) == 3
    finally:
        torch.set_num_threads(before)


def test_threads_that_decode_end_with_the_last_batch_though_nobody_asks_for_another():
    running = threading.active_count()
    batches = iter(ThreadedLoader(_Decoding(), batch_size=2))
    for _ in range(3):
        next(batches)  # as Lightning does, which knows how many there are
    assert threading.active_count() == running


def _in_a_new_thread(ask):
    found = []
    thread = threading.Thread(target=lambda: found.append(ask()))
    thread.start()
    thread.join()
    return found[0]
