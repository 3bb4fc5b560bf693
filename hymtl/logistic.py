"""Multinomial logistic regression, solved to convergence, its penalty chosen by cross-validation.

How features are judged elsewhere too: Kornblith, Shlens and Le, "Do Better ImageNet Models Transfer Better?" (CVPR
2019), appendix A.4, who also solve it by L-BFGS and choose the penalty among powers of ten.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Half powers of ten, the strongest first: each solution is where the search for the next begins.
PENALTIES = tuple(10.0 ** (half / 2) for half in range(0, -13, -1))
UNTRIED = 1e-3  # the penalty where there are too few photos to try any
MOST_FOR_TRYING = 4000  # photos that penalties are tried on; one of more changes little and takes long
SLOPE = 1e-10  # largest derivative of a solution
ROUGH = 1e-7  # and of those that are only tried


@dataclass(frozen=True)
class Solution:
    """``weight`` (classes, F) and ``bias`` (classes), float64; ``accuracy`` is the cross-validated one, if any."""

    weight: np.ndarray
    bias: np.ndarray
    penalty: float
    accuracy: float | None


def fit(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    folds: Sequence[np.ndarray],
    weights: np.ndarray | None = None,
) -> Solution:
    """Solve for ``features`` (N, F) and ``labels`` (N), with the penalty of least cross-validated loss.

    The solution minimizes the mean over photos of cross entropy, times ``weights`` (N) where given, plus half the
    penalty times the sum of squared weights, after features were centred and divided by one number so that their mean
    squared length is 1: the same penalties then suit any backbone. The bias has no penalty. ``folds`` are the indices
    that are held out in turn; without any the penalty is :data:`UNTRIED`.
    """
    weights = np.ones(len(labels)) if weights is None else weights.astype(np.float64)
    features = features.astype(np.float64)
    middle = features.mean(axis=0)
    centred = features - middle
    scale = np.sqrt((centred**2).sum(axis=1).mean()) or 1.0
    points, turn = _turned(centred / scale)
    targets = np.eye(classes)[labels]
    penalty, accuracy = _choose(points, targets, weights, folds) if folds else (UNTRIED, None)
    weight, bias = solve(points, targets, weights, penalty)
    weight = weight @ turn / scale
    return Solution(weight, bias - weight @ middle, penalty, accuracy)


def solve(
    points: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    penalty: float,
    start: np.ndarray | None = None,
    slope: float = SLOPE,
) -> tuple[np.ndarray, np.ndarray]:
    """Weight (classes, F) and bias (classes) of least loss for ``points`` (N, F) and one-hot ``targets`` (N, classes).

    ``start`` is the solution, (classes, F + 1), of a problem much like it, ``slope`` the largest derivative that
    is left.
    """
    from scipy.optimize import minimize  # here, as what only predicts needs none of it

    shape = (targets.shape[1], points.shape[1] + 1)
    share = (weights / len(points))[:, None]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = np.split(flat.reshape(shape), [shape[1] - 1], axis=1)
        logits = points @ weight.T + bias.T
        logits -= logits.max(axis=1, keepdims=True)
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        excess = share * (np.exp(logs) - targets)
        slopes = np.concatenate([excess.T @ points + penalty * weight, excess.sum(axis=0)[:, None]], axis=1)
        return float(-(share * targets * logs).sum() + penalty / 2 * (weight**2).sum()), slopes.ravel()

    begin = np.zeros(shape) if start is None else start
    options = {"maxiter": 20_000, "maxfun": 40_000, "maxcor": 20, "ftol": 0.0, "gtol": slope}
    found = minimize(loss, begin.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(shape)
    return found[:, :-1], found[:, -1]


def _turned(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points in as many dimensions as they span, and the turn back: fewer photos than features are that much quicker.

    Nothing is lost, as weights of least length lie in the span of the points.
    """
    if len(points) >= points.shape[1]:
        return points, np.eye(points.shape[1])
    left, lengths, turn = np.linalg.svd(points, full_matrices=False)
    return left * lengths, turn


def _choose(
    points: np.ndarray, targets: np.ndarray, weights: np.ndarray, folds: Sequence[np.ndarray]
) -> tuple[float, float]:
    """The penalty of least loss on what was held out, and its accuracy there."""
    thin = -(-sum(map(len, folds)) // MOST_FOR_TRYING)
    folds = [fold[::thin] for fold in folds]
    losses, right = np.zeros(len(PENALTIES)), np.zeros(len(PENALTIES))
    for held in folds:
        rest = np.concatenate([fold for fold in folds if fold is not held])
        start = None
        for number, penalty in enumerate(PENALTIES):
            weight, bias = solve(points[rest], targets[rest], weights[rest], penalty, start, ROUGH)
            start = np.concatenate([weight, bias[:, None]], axis=1)
            logits = points[held] @ weight.T + bias
            logs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
            losses[number] -= (weights[held, None] * targets[held] * logs).sum()
            right[number] += (logits.argmax(axis=1) == targets[held].argmax(axis=1)).sum()
    best = int(losses.argmin())
    return PENALTIES[best], right[best] / sum(map(len, folds))
