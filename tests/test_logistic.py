"""Logistic regression: solved to convergence, its penalty chosen on what was held out."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hymtl import logistic


def clouds(classes, photos=30, features=12, seed=0, spread=1.5):
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), photos)
    middles = random.normal(size=(classes, features))
    return 5 + 3 * (middles[labels] + spread * random.normal(size=(len(labels), features))), labels


def dealt(labels, count=5):
    order = np.argsort(labels, kind="stable")
    return [order[number::count] for number in range(count)]


def loss_of(weight, bias, features, labels, penalty, weights):
    """As the docstring of ``fit`` says it, of features as they come."""
    scale2 = ((features - features.mean(0)) ** 2).sum(1).mean()
    each = F.cross_entropy(features @ weight.T + bias, labels, reduction="none")
    return (weights * each).mean() + penalty / 2 * scale2 * (weight**2).sum()


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("features", [12, 150])  # fewer than photos, and more
@pytest.mark.parametrize("weighted", [False, True])
def test_the_solution_is_where_a_reference_finds_no_lower_loss(classes, features, weighted):
    points, labels = clouds(classes, photos=12, features=features)
    weights = np.random.default_rng(1).uniform(0.5, 1.5, len(labels)) if weighted else None
    found = logistic.fit(points, labels, classes, dealt(labels), weights)

    x, y, w = torch.from_numpy(points), torch.from_numpy(labels), torch.from_numpy(
        np.ones(len(labels)) if weights is None else weights
    )  # fmt: skip
    weight = torch.zeros(classes, features, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=3000, history_size=50, tolerance_grad=1e-11, tolerance_change=0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def step():
        optimizer.zero_grad()
        # Centred, which moves the bias alone, as gradients of features far from 0 are badly scaled.
        loss = loss_of(weight, bias, x - x.mean(0), y, found.penalty, w)
        loss.backward()
        return loss

    optimizer.step(step)
    reference = loss_of(weight, bias, x - x.mean(0), y, found.penalty, w).item()
    own = loss_of(torch.from_numpy(found.weight), torch.from_numpy(found.bias), x, y, found.penalty, w).item()
    assert own == pytest.approx(reference, rel=1e-6)
    np.testing.assert_allclose(found.weight, weight.detach().numpy(), atol=1e-3 * np.abs(found.weight).max())


def test_the_penalty_is_the_one_of_least_loss_on_what_was_held_out():
    points, labels = clouds(3, spread=4.0)  # which overlap: little penalty overfits
    folds = dealt(labels)
    found = logistic.fit(points, labels, 3, folds)
    assert found.penalty == pytest.approx(_best_by_hand(points, labels, folds))
    assert found.penalty > min(logistic.PENALTIES)
    assert 0.4 < found.accuracy < 0.9


def _best_by_hand(points, labels, folds):
    x = points - points.mean(axis=0)
    x = x / np.sqrt((x**2).sum(axis=1).mean())
    losses = []
    for penalty in logistic.PENALTIES:
        total = 0.0
        for held in folds:
            rest = np.setdiff1d(np.arange(len(labels)), held)
            weight, bias = logistic.solve(x[rest], np.eye(3)[labels[rest]], np.ones(len(rest)), penalty)
            logits = torch.from_numpy(x[held] @ weight.T + bias)
            total += F.cross_entropy(logits, torch.from_numpy(labels[held]), reduction="sum").item()
        losses.append(total)
    return logistic.PENALTIES[int(np.argmin(losses))]


def test_of_many_photos_some_are_enough_to_try_penalties_on(monkeypatch):
    points, labels = clouds(2, photos=200, spread=4.0)
    whole = logistic.fit(points, labels, 2, dealt(labels))
    monkeypatch.setattr(logistic, "MOST_FOR_TRYING", 200)
    thinned = logistic.fit(points, labels, 2, dealt(labels))
    assert abs(np.log10(whole.penalty / thinned.penalty)) <= 1
    assert thinned.weight == pytest.approx(whole.weight, abs=0.1)


def test_without_folds_the_penalty_is_the_untried_one():
    points, labels = clouds(2, photos=1)
    found = logistic.fit(points, labels, 2, [])
    assert (found.penalty, found.accuracy) == (logistic.UNTRIED, None)
    assert ((points @ found.weight.T + found.bias).argmax(axis=1) == labels).all()
