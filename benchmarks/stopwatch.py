"""A Lightning callback that notes when each epoch, each phase and each step began and ended, as JSON.

Times are of ``time.monotonic``, which on Linux is one clock for all processes, so that whoever started the run can
place them after its own.
"""

import functools
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
from torch import Tensor

from hymtl.data.dataset import PhotoDataset
from hymtl.data.photos import Photo


class Stopwatch(pl.Callback):
    """Writes to ``path`` what ``benchmarks/tutorial.py`` writes of its loops; ends fitting at ``stop_at`` ``val/acc``.

    Seconds of an epoch: ``waiting`` (between steps: loading, and Lightning's own work), ``forward``, ``backward``
    (with the optimizer's step), ``validation`` (its loading too), and of both phases ``decode`` and ``augment``, which
    are None where worker processes do them, out of sight. An epoch ends where the next begins.
    """

    def __init__(self, path: str, stop_at: float | None = None) -> None:
        self.path, self.stop_at = Path(path), stop_at
        self.record: dict = {"epochs": [], "reached": None}
        self.decoding, self.fetching = _Watched(Photo, "decode"), _Watched(PhotoDataset, "__getitem__")
        self._mark = self._validation = 0.0
        self._before = (0.0, 0.0)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._mark = time.monotonic()
        self._end_epoch(self._mark)
        self._before = (self.decoding.seconds, self.fetching.seconds)
        self.record.setdefault("decode_at_start", self.decoding.seconds)
        zero = dict.fromkeys(("waiting", "forward", "backward", "validation"), 0.0)
        self.record["epochs"].append({"start": self._mark, "end": None, "val_acc": None, **zero})

    def on_train_batch_start(self, *_: object) -> None:
        self._note("waiting")

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        self._note("forward")

    def on_train_batch_end(self, *_: object) -> None:
        self._note("backward")

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validation = time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.record["epochs"] or trainer.state.fn != "fit":
            return
        now, epoch = time.monotonic(), self.record["epochs"][-1]
        epoch["validation"] += now - self._validation
        epoch["val_acc"] = trainer.callback_metrics["val/acc"].item()
        epoch["decode"], epoch["augment"] = self._work(trainer)
        if self.stop_at is not None and self.record["reached"] is None and epoch["val_acc"] >= self.stop_at:
            self.record["reached"] = now
            trainer.should_stop = True
        self._write()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._end_epoch(time.monotonic())
        self._write()

    def _note(self, part: str) -> None:
        now = time.monotonic()
        self.record["epochs"][-1][part] += now - self._mark
        self._mark = now

    def _work(self, trainer: pl.Trainer) -> tuple[float | None, float | None]:
        if getattr(trainer.train_dataloader, "num_workers", 0):
            return None, None
        watched = (self.decoding, self.fetching)
        decode, fetch = (w.seconds - t for w, t in zip(watched, self._before, strict=True))
        return decode, max(0.0, fetch - decode)

    def _end_epoch(self, now: float) -> None:
        if self.record["epochs"]:
            self.record["epochs"][-1]["end"] = now

    def _write(self) -> None:
        self.path.write_text(json.dumps(self.record))


class _Watched:
    """Wraps method ``name`` of ``owner`` and adds up the ``seconds`` spent in it, over all threads."""

    def __init__(self, owner: type, name: str) -> None:
        self.seconds, self._lock = 0.0, threading.Lock()
        setattr(owner, name, self._timed(getattr(owner, name)))

    def _timed(self, method: Callable) -> Callable:
        @functools.wraps(method)
        def timed(*args, **kwargs):
            began = time.monotonic()
            try:
                return method(*args, **kwargs)
            finally:
                with self._lock:
                    self.seconds += time.monotonic() - began

        return timed
