"""What a confusion matrix says where each class is to count alike, however rare; without torch, so that tables can ask.

A matrix is (classes, classes), numbers of photos: rows the true class, columns the predicted one.
"""

import numpy as np


def recalls(matrix: np.ndarray) -> np.ndarray:
    """Of each class, the fraction of its photos that is recognized; NaN for one without photos."""
    photos = matrix.sum(axis=1)
    return np.divide(np.diagonal(matrix), photos, out=np.full(len(matrix), np.nan), where=photos > 0)


def balanced_accuracy(matrix: np.ndarray) -> float:
    """The mean recall of the classes that have photos; always guessing one of two classes gives 0.5."""
    return float(np.nanmean(recalls(matrix))) if matrix.sum() else 0.0


def macro_f1(matrix: np.ndarray) -> float:
    """The mean over classes of the harmonic mean of precision and recall; classes neither there nor guessed are out."""
    counted = matrix.sum(axis=0) + matrix.sum(axis=1)  # photos of the class and guesses at it
    there = counted > 0
    return float(np.mean(2 * np.diagonal(matrix)[there] / counted[there])) if there.any() else 0.0
