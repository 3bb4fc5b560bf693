"""Classify picture files with a run's artifact."""

from collections.abc import Iterator
from pathlib import Path

import torch

from hymtl import artifact
from hymtl.data import transforms
from hymtl.data.photos import Photo, is_picture
from hymtl.errors import HymtlError


def predict_files(run: Path, pictures: list[Path]) -> Iterator[tuple[Path, tuple[str, float] | HymtlError]]:
    """For each file, its class and the probability given to it, or what is wrong with the file.

    ``run`` is a run's folder or an artifact's; folders among ``pictures`` stand for the pictures below them.

    Raises:
        HymtlError: if the artifact cannot be used.
    """
    loaded = artifact.load(run / "artifact" if (run / "artifact").is_dir() else run)
    transform = transforms.evaluation(loaded.preprocessing, loaded.resize)
    for file in _files(pictures):
        try:
            picture = Photo(file, file.name, 0).decode()
        except HymtlError as error:
            yield file, error
            continue
        batch = transforms.normalize(transform(picture)[None], loaded.preprocessing)
        with torch.no_grad():
            probabilities = loaded.network(batch).softmax(dim=1)[0]
        best = int(probabilities.argmax())
        yield file, (loaded.classes[best], probabilities[best].item())


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(filter(is_picture, path.rglob("*"))) if path.is_dir() else [path]
