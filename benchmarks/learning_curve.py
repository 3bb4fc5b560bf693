"""How often the interval of "would more pictures help?" holds.

    python benchmarks/learning_curve.py

Logistic regression on scikit-learn's 1,797 handwritten digits, with more or less noise on their pixels, in ten classes
or two: trained on half of N digits and on N, scored on V others, as a sweep does; then trained on more, and what that
really gained is counted on all the rest. Each round draws the digits anew. Markdown on stdout.
"""

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import tables  # noqa: E402
from hymtl.compare import statistics  # noqa: E402

ROUNDS = 200
HEAD = ("classes", "noise", "N", "V", "more", "expected gain, mean", "real gain, mean", "width, mean", "interval holds")
# Classes, deviation of the noise (pixels are 0 to 1), N, V, and how many there are then.
SETTINGS = (
    (10, 0.0, 244, 153, 444),
    (10, 0.5, 244, 153, 444),
    (10, 0.3, 100, 100, 200),
    (2, 0.5, 244, 153, 444),
    (2, 0.0, 60, 60, 120),
    (10, 0.0, 500, 153, 1000),
)


def main() -> None:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    rows = [row(pixels / 16, labels, *setting) for setting in SETTINGS]
    print(tables.table(HEAD, rows))


def row(pixels, labels, classes: int, noise: float, many: int, photos: int, more: int) -> list[str]:
    """One setting, over all rounds."""
    rng = np.random.default_rng(0)
    targets = labels if classes == 10 else labels // 5
    found = []
    for _ in range(ROUNDS):
        order = rng.permutation(len(labels))
        found.append(drawn(pixels[order] + rng.normal(0, noise, pixels.shape), targets[order], many, photos, more))
    expected, real, low, high = np.array(found).T
    holds = ((low <= real) & (real <= high)).mean()
    means = [f"{100 * value.mean():.1f}" for value in (expected, real, high - low)]
    return [str(classes), f"{noise}", str(many), str(photos), str(more - many), *means, f"{holds:.3f}"]


def drawn(pixels, targets, many: int, photos: int, more: int) -> tuple[float, float, float, float]:
    """Expected and real gain, and the interval, of one order of the digits."""
    from sklearn.linear_model import LogisticRegression

    sizes = (many // 2, many, more)
    models = [LogisticRegression(max_iter=200).fit(pixels[:size], targets[:size]) for size in sizes]
    scored, rest = slice(more, more + photos), slice(more + photos, None)
    half, full, _ = ((model.predict(pixels[scored]) == targets[scored]).astype(float) for model in models)
    _, before, after = (model.score(pixels[rest], targets[rest]) for model in models)
    growth = statistics.growth(half, full, *sizes)
    return growth.gain, after - before, growth.low, growth.high


if __name__ == "__main__":
    main()
