"""Whether an exported file says what its artifact says: both classify the same photos."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hymtl.deploy.predict import BATCH, Predictor
from hymtl.deploy.whole import Run
from hymtl.errors import HymtlError

# Rounding to int8 moves the margin of few photos by more than a tenth; a mistake moves that of most.
PLAUSIBLE = 0.1
EXACT = 0.001  # of a probability: sums in another order change less, bfloat16 or other preprocessing more


@dataclass(frozen=True)
class Changed:
    """A photo that the file puts into another class; ``margin`` is the artifact's, see :class:`Agreement`."""

    file: Path
    artifact: str
    exported: str
    margin: float


@dataclass(frozen=True)
class Agreement:
    """What two runtimes made of the same photos.

    A photo's *margin* is the probability of its class less that of the next one, by the artifact. ``rounding`` is the
    largest change of a margin among photos that kept their class, ``usual`` the change that 95 % of all photos stay
    below, ``largest`` the largest change of any probability.
    """

    photos: int
    largest: float
    rounding: float
    usual: float
    changed: list[Changed]

    def objection(self, *, exact: bool) -> str | None:
        """Why the file must not be used, None if it may: ``exact`` for a float one, which agrees on every class."""
        if exact and self.changed:
            return f"it is a float network and changed the class of {len(self.changed)} photos"
        if exact and self.largest > EXACT:
            return f"it is a float network and changed a probability by {self.largest:.4f}, more than {EXACT}"
        if self.usual > PLAUSIBLE:
            return f"the margin of one photo in twenty moved by more than {self.usual:.4f}, which is no rounding"
        if beyond := [photo for photo in self.changed if photo.margin >= self.rounding]:
            return f"{len(beyond)} photos changed their class by more than rounding ({self.rounding:.4f}) explains"
        return None


def compare(predictor: Predictor, run: Run, files: Sequence[Path], *, with_resize: bool = False) -> Agreement:
    """Classify ``files`` by the artifact and by an exported file.

    The first photo goes alone, the others in batches, so that the file is seen to take either; ``with_resize``: each
    goes alone in its own size.

    Raises:
        HymtlError: naming the file that cannot be read.
    """
    before, after = [], []
    for chunk in _chunks(files, 1 if with_resize else BATCH):
        prepared = torch.stack([predictor.prepare(file) for file in chunk])
        before.append(predictor.probabilities(prepared).numpy())
        given = predictor.decode(chunk[0])[None] if with_resize else prepared
        after.append(run(given.contiguous().numpy()))
    return _agreement(np.concatenate(before), np.concatenate(after), files, predictor.classes)


def _chunks(files: Sequence[Path], size: int) -> Iterator[Sequence[Path]]:
    if not files:
        raise HymtlError("There is no photo to compare predictions on. Give some with --photos DIR.")
    yield files[:1]
    for start in range(1, len(files), size):
        yield files[start : start + size]


def _agreement(before: np.ndarray, after: np.ndarray, files: Sequence[Path], classes: list[str]) -> Agreement:
    if after.shape != before.shape or not np.isfinite(after).all():
        raise HymtlError(f"The file gives {after.shape} numbers, some of them perhaps none, for {before.shape}.")
    margins = _margins(before, before)
    moved = np.abs(_margins(before, after) - margins)
    here, there = before.argmax(1), after.argmax(1)
    same = here == there
    changed = [
        Changed(files[i], classes[here[i]], classes[there[i]], float(margins[i]))
        for i in np.flatnonzero(~same).tolist()
    ]
    rounding = float(moved[same].max()) if same.any() else 0.0
    return Agreement(
        len(files), float(np.abs(after - before).max()), rounding, float(np.quantile(moved, 0.95)), changed
    )


def _margins(by: np.ndarray, of: np.ndarray) -> np.ndarray:
    """``of``'s probability of the first class less that of the second, first and second by ``by``."""
    first, second = np.argsort(by, axis=1)[:, :-3:-1].T
    rows = np.arange(len(of))
    return of[rows, first] - of[rows, second]
