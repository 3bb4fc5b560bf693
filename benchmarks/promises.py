"""How often the winner's score on the test part lies in the interval that experiment=choose promised.

    python benchmarks/promises.py --photos DIR --weights STATE_DICT --parts 50

For each ``data.split_seed`` another test part is set aside. Of strategy=probe on efficientnet_lite0 and on resnet18 (of
the weights given), cross-validated on the rest in five folds, one is chosen, solved once more on the rest, and scored
on the test part. Splits, solutions, the choice and the interval are those of experiment=choose, on features that are
computed once, as 50 races take hours. Markdown on stdout, progress on stderr.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from benchmarks import tables  # noqa: E402
from benchmarks.given import facts  # noqa: E402
from hymtl import logistic  # noqa: E402
from hymtl.backbones import pretrained  # noqa: E402
from hymtl.compare import bounds, choice  # noqa: E402
from hymtl.compare.bounds import Paired  # noqa: E402
from hymtl.data.batches import PictureBatches  # noqa: E402
from hymtl.data.photos import Photo, PhotoFolder  # noqa: E402
from hymtl.data.sources import find_photos  # noqa: E402
from hymtl.data.splits import arrange, folds  # noqa: E402
from hymtl.features.batches import FeatureBatches  # noqa: E402
from hymtl.features.store import FeatureStore  # noqa: E402
from hymtl.files import home  # noqa: E402
from hymtl.strategy import as_fixed, load_backbone  # noqa: E402

FOLDS, TEST, MARGIN = 5, 0.2, 0.01
HEAD = ("test parts", "photos in each", "chosen", "inside the 95 % interval", "below", "above", "out of fold", "test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder as data=folder takes it")
    parser.add_argument("--weights", help="a float state dict of resnet18; without, efficientnet_lite0 is alone")
    parser.add_argument("--parts", type=int, default=50)
    options = parser.parse_args()
    photos = find_photos("folder", str(options.photos))
    backbones = [("efficientnet_lite0", "imagenet")] + [("resnet18", options.weights)] * bool(options.weights)
    known = [(name, features(photos, name, weights)) for name, weights in backbones]
    outcomes = [outcome(photos, known, seed) for seed in range(options.parts)]
    for name, value in facts(options.photos, "resnet18" if options.weights else None, options.weights).items():
        print(f"- {name}: {value}")
    print("", tables.table(HEAD, [row(outcomes)]), sep="\n")


def features(photos: PhotoFolder, name: str, weights: str) -> dict[str, np.ndarray]:
    """Of each photo, by name, (F) as strategy=probe sees it."""
    found = pretrained.find(name, weights)
    body = found.backbone.build()
    load_backbone(body, found)
    every = arrange(photos, folds=FOLDS)
    data = PictureBatches(every, found.backbone.preprocessing, resize=256, augmentation="none")
    store = FeatureStore(home() / "features", 1e9)
    view = FeatureBatches(as_fixed(body), data.unaugmented(), torch.device("cpu"), store).view("train", 0).numpy()
    return {photo.name: row for photo, row in zip(every.splits["train"], view, strict=True)}


def outcome(photos: PhotoFolder, known: list[tuple[str, dict[str, np.ndarray]]], seed: int) -> dict:
    """One race: who was chosen, what was promised, and what became of it."""
    classes = len(photos.classes)
    right = {name: held_out(photos, values, seed) for name, values in known}
    cheapest, *others = right
    best = max(right, key=lambda name: right[name].mean())
    chosen = cheapest if others and choice.near(difference(right[best], right[cheapest]), MARGIN) else best
    values = dict(known)[chosen]
    whole = arrange(photos, folds=FOLDS, test_fraction=TEST, split_seed=seed)
    test = whole.splits["test"]
    score = solved(whole.splits["train"], values, classes)(test).mean()
    shown = right[chosen]
    low, high = bounds.promised(shown.mean(), len(shown), len(test), FOLDS)
    print(f"{seed}: {chosen} {shown.mean():.4f}, promised {low:.3f} to {high:.3f}, {score:.4f}", file=sys.stderr)
    return {"chosen": chosen, "low": low, "high": high, "test": score, "shown": shown.mean(), "photos": len(test)}


def held_out(photos: PhotoFolder, values: dict[str, np.ndarray], seed: int) -> np.ndarray:
    """Whether each photo is right in the fold that holds it out, by name."""
    found: dict[str, bool] = {}
    for fold in range(FOLDS):
        split = arrange(photos, folds=FOLDS, fold=fold, test_fraction=TEST, split_seed=seed).splits
        judged = solved(split["train"], values, len(photos.classes))(split["val"])
        found |= {photo.name: bool(one) for photo, one in zip(split["val"], judged, strict=True)}
    return np.array([found[name] for name in sorted(found)])


def solved(train: list[Photo], values: dict[str, np.ndarray], classes: int):
    """What tells of photos whether a head solved on others has them right."""
    labels = np.array([photo.label for photo in train])
    stacked = np.stack([values[photo.name] for photo in train])
    inside = [np.array(fold) for fold in folds(train, FOLDS)]
    head = logistic.fit(stacked, labels, classes, inside)

    def judge(others: list[Photo]) -> np.ndarray:
        logits = np.stack([values[photo.name] for photo in others]) @ head.weight.T + head.bias
        return logits.argmax(axis=1) == np.array([photo.label for photo in others])

    return judge


def difference(best: np.ndarray, other: np.ndarray) -> Paired:
    """By how much the first is the more accurate, photo by photo."""
    gains, losses = (best & ~other).sum(), (other & ~best).sum()
    return Paired(float(gains), float(losses), len(best), bounds.inflation(FOLDS))


def row(outcomes: list[dict]) -> list[str]:
    counts = {name: sum(one["chosen"] == name for one in outcomes) for name in {one["chosen"] for one in outcomes}}
    below = sum(one["test"] < one["low"] for one in outcomes)
    above = sum(one["test"] > one["high"] for one in outcomes)
    shown, test = (np.mean([one[key] for one in outcomes]) for key in ("shown", "test"))
    return [
        str(len(outcomes)), str(outcomes[0]["photos"]), ", ".join(f"{name} {n}" for name, n in sorted(counts.items())),
        str(len(outcomes) - below - above), str(below), str(above), f"{shown:.4f}", f"{test:.4f}",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
