"""Classify pictures with an artifact: in Python by :func:`load`, from the command line by ``hymtl predict``."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil
from pathlib import Path
from typing import cast

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from hymtl import strategies
from hymtl.data import reading, transforms
from hymtl.data.photos import Photo
from hymtl.deploy import artifact, runtimes
from hymtl.deploy.artifact import Artifact
from hymtl.deploy.evaluation import probabilities
from hymtl.deploy.whole import Run
from hymtl.errors import HymtlError
from hymtl.network import Classifier
from hymtl.strategy import as_fixed

BATCH = 16
UNSURE = "unsure"
Picture = str | Path | Image.Image | Tensor


@dataclass(frozen=True)
class Prediction:
    """The class of a picture and the probability of each class, the same one's as ``confidence``."""

    label: str
    confidence: float
    probabilities: dict[str, float]

    def or_unsure(self, below: float) -> "Prediction":
        """The same, but with the label ``"unsure"`` where the confidence is less than ``below``."""
        return replace(self, label=UNSURE) if self.confidence < below else self


class Predictor:
    """An artifact, ready to classify; on the CPU."""

    def __init__(self, loaded: Artifact, other: Callable[[], Run] | None = None) -> None:
        """``other`` loads the runtime that classifies instead of torch, see :mod:`hymtl.deploy.runtimes`."""
        self.artifact = loaded
        self._other, self._loaded = other, threading.local()
        self.classes = loaded.classes
        self.int8 = strategies.create(**loaded.strategy).quantizes
        self.network = loaded.network if self.int8 else _quicker(loaded.network)
        self._transform = transforms.evaluation(loaded.preprocessing, loaded.resize).once

    def __call__(self, pictures: Picture | Sequence[Picture]) -> Prediction | list[Prediction]:
        """Classify one picture, or a list or batch of them.

        A picture is a path, a PIL image or a uint8 tensor (C, H, W) of any size with 1 or 3 channels; a tensor
        (N, C, H, W) is a batch.

        Raises:
            HymtlError: naming the picture that cannot be read, or what is wrong with a tensor.
        """
        alone = isinstance(pictures, str | Path) or not isinstance(pictures, Iterable)
        one = alone or (isinstance(pictures, Tensor) and pictures.ndim == 3)
        prepared = [self.prepare(picture) for picture in cast(Sequence[Picture], [pictures] if one else pictures)]
        predictions = [p for batch in _batches(prepared) for p in self.classify(torch.stack(batch))]
        return predictions[0] if one else predictions

    def prepare(self, picture: Picture) -> Tensor:
        """A picture as the network sees it, but not normalized yet: uint8 (C, size, size)."""
        return _decoded(picture, self._transform)

    def decode(self, picture: Picture) -> Tensor:
        """A picture in its own size and the network's colours: uint8 (C, H, W)."""
        return _decoded(picture, transforms.to_colours(self.artifact.preprocessing))

    def classify(self, pictures: Tensor) -> list[Prediction]:
        """Predictions of prepared pictures, uint8 (N, C, size, size)."""
        if self._other:
            given = decisive = self.probabilities(pictures)
        else:  # classes are those of the logits: scaled and rounded, two of them may be equal
            decisive = self.logits(pictures)
            given = self._calibrated(decisive)
        return [
            Prediction(self.classes[guess], row[guess], dict(zip(self.classes, row, strict=True)))
            for row, guess in zip(given.tolist(), decisive.argmax(dim=1).tolist(), strict=True)
        ]

    def probabilities(self, pictures: Tensor) -> Tensor:
        """Probabilities (N, classes), float32, of prepared pictures, uint8 (N, C, size, size)."""
        if self._other:
            if not hasattr(self._loaded, "run"):  # one a thread, as not every runtime lets threads share
                self._loaded.run = self._other()
            return torch.from_numpy(self._loaded.run(pictures.contiguous().numpy()))
        return self._calibrated(self.logits(pictures))

    @torch.no_grad()
    def logits(self, pictures: Tensor) -> Tensor:
        """Logits (N, classes), float32, of prepared pictures, uint8 (N, C, size, size)."""
        return self.network(transforms.normalize(pictures, self.artifact.preprocessing))

    def _calibrated(self, logits: Tensor) -> Tensor:
        return probabilities(logits, self.artifact.temperature)

    def files(self, paths: str | Path | Iterable[str | Path]) -> Iterator[tuple[Path, Prediction | HymtlError]]:
        """For each file its prediction, or what is wrong with it; a folder stands for every file below it.

        Each of torch's threads decodes a batch of its own and runs the network on it: threads that share a batch wait
        for one another, and for those that decode.
        """
        files, threads = listed([paths] if isinstance(paths, str | Path) else paths), torch.get_num_threads()
        pixels = self.artifact.preprocessing.size**2
        most = max(1, min(BATCH, BATCH * 224**2 // pixels))  # memory does not grow with the size of what it sees
        size = max(1, min(most, ceil(len(files) / threads)))  # few files make work for all threads too
        if files and self.int8 and not self._other:
            self.call_once()
        pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
        try:
            waiting: deque[Future] = deque()
            for batch in _batches(files, size):
                waiting.append(pool.submit(self._outcomes, batch))
                if len(waiting) > 2 * threads:  # no further ahead, or results would pile up for a slow reader
                    yield from waiting.popleft().result()
            for future in waiting:
                yield from future.result()
        finally:  # also where whoever reads stops early, who is not kept waiting for batches that are under way
            pool.shutdown(wait=False, cancel_futures=True)
            torch.set_num_threads(threads)  # or threads that start later have one as well

    def call_once(self) -> None:
        """A blank picture: quantizer pt2e makes its kernels at the first call, which no two threads may do at once."""
        expected = self.artifact.preprocessing
        self.classify(torch.zeros(1, expected.channels, expected.size, expected.size, dtype=torch.uint8))

    def _outcomes(self, files: list[Path]) -> list[tuple[Path, Prediction | HymtlError]]:
        pictures = [self._prepared_or_error(file) for file in files]
        readable = [picture for picture in pictures if isinstance(picture, Tensor)]
        predictions = iter(self.classify(torch.stack(readable)) if readable else [])
        found = [next(predictions) if isinstance(picture, Tensor) else picture for picture in pictures]
        return list(zip(files, found, strict=True))

    def _prepared_or_error(self, file: Path) -> Tensor | HymtlError:
        try:
            return self.prepare(file)
        except HymtlError as error:
            return error


def load(path: str | Path, runtime: str = "torch") -> Predictor:
    """The predictor of a run's folder, or of an artifact's, wherever it was copied to.

    ``runtime`` is ``torch``; ``onnxruntime`` or ``openvino``, for which ``hymtl export`` must have made the file; or
    ``auto``, what ``hymtl benchmark`` found fastest on this machine, else torch.

    Raises:
        HymtlError: if there is none, or it cannot be trusted or used here; see :func:`hymtl.artifact.load`.
    """
    folder = Path(path)
    if not os.path.isdir(path):
        raise HymtlError(f"{folder}: there is no such folder. Give a run's folder or the artifact in it.")
    loaded = artifact.load(folder / "artifact" if (folder / "artifact").is_dir() else folder)
    return Predictor(loaded, runtimes.choose(runtime, folder, loaded))


def _quicker(network: Classifier) -> Classifier:
    """A float network that says the same in less time."""
    return Classifier(as_fixed(network.backbone), network.head).eval()


def _decoded(picture: Picture, then: Callable[[Tensor], Tensor]) -> Tensor:
    """What ``then`` makes of a picture, uint8 (3, H, W), or (1, H, W) of a grey tensor."""
    if isinstance(picture, str | Path):
        return Photo(Path(picture), Path(picture).name, 0).decode(then)
    return then(_tensor(picture))


def _tensor(picture: Image.Image | Tensor) -> Tensor:
    if isinstance(picture, Image.Image):
        try:
            return pil_to_tensor(reading.as_seen(picture))
        except (ValueError, OSError) as error:  # closed, or of a file that is cut
            raise HymtlError(f"The PIL image cannot be read: {error}.") from error
    if not isinstance(picture, Tensor) or picture.dtype != torch.uint8 or picture.ndim != 3:
        kind = f"{picture.dtype} {tuple(picture.shape)}" if isinstance(picture, Tensor) else type(picture).__name__
        raise HymtlError(f"A picture is a path, a PIL image or a uint8 tensor (C, H, W), not {kind}.")
    if not picture.numel():
        raise HymtlError(f"A picture has pixels; this tensor is {tuple(picture.shape)}.")
    if len(picture) not in (1, 3):
        raise HymtlError(f"A picture has 1 or 3 channels; this tensor is {tuple(picture.shape)}, expected (C, H, W).")
    return picture


def _batches(items: Iterable, size: int = BATCH) -> Iterator[list]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


def listed(paths: Iterable[str | Path]) -> list[Path]:
    """Files as they are named; of a folder every file below it."""
    return [file for path in map(Path, paths) for file in (_below(path) if os.path.isdir(path) else [path])]


def _below(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
