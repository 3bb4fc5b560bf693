"""What is ours in the recipes, chosen without the photos that judge: by cross-validation inside training photos.

    python benchmarks/digits.py DIGITS --each 25
    python benchmarks/defaults.py --photos PHOTOS/train --photos DIGITS --weights STATE_DICT --folds 2 --runs DIR

Each question has a few answers. All are trained in --folds folds for three epochs, the better half for eight with three
seeds (successive halving: Jamieson and Talwalkar, AISTATS 2016), the steps of the rate scaled with the epochs. The
recipes' 25 epochs would take three times as long: more than a day of two cores.
An answer's score is the accuracy of its last epoch, pooled over folds, the mean over seeds and over the sets of
pictures given, each of which is a folder of CLASS/ folders. No best epoch is chosen anywhere. Two folds take a quarter
of what five do, and score as many photos, by networks that saw fewer. Finished runs are kept in --runs: stop it and
start it again. Markdown on stdout, progress on stderr.
"""

import argparse
import math
import sys
from pathlib import Path
from statistics import mean, stdev

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import reference, steady, tables  # noqa: E402
from benchmarks.given import facts  # noqa: E402
from benchmarks.recipes import quoted  # noqa: E402

CLIPPING = [f"trainer.gradient_clip_val={limit}" for limit in (5.0, 10.0, 20.0, "null", 1.0)]
# A question: what is the same in all answers, and the answers, words of train.py; today's default is the first.
QUESTIONS = {
    "clipping, ResNet-18": (
        "strategy=finetune backbone=resnet18 strategy.batch_norm=train",
        CLIPPING,
    ),
    "clipping, EfficientNet-Lite0": (
        "strategy=finetune backbone=efficientnet_lite0 strategy.batch_norm=eval",
        CLIPPING,
    ),
    "clipping under qat, ResNet-18": (
        "strategy=qat backbone=resnet18",
        [f"trainer.gradient_clip_val={limit}" for limit in (10.0, 5.0, 20.0)],
    ),
    "batch norm, ResNet-18": (
        "strategy=finetune backbone=resnet18 trainer.gradient_clip_val=5.0",
        ["strategy.batch_norm=train", "strategy.batch_norm=eval"],
    ),
    "batch norm, EfficientNet-Lite0": (
        "strategy=finetune backbone=efficientnet_lite0 trainer.gradient_clip_val=5.0",
        ["strategy.batch_norm=eval", "strategy.batch_norm=train"],
    ),
    "batch norm under qat, EfficientNet-Lite0": (
        "strategy=qat backbone=efficientnet_lite0",
        ["strategy.batch_norm=eval", "strategy.batch_norm=train"],
    ),
    "batch norm under lp_ft, ResNet-18": (
        "strategy=lp_ft backbone=resnet18",
        ["strategy.batch_norm=eval", "strategy.batch_norm=train"],
    ),
    "rate of partial, EfficientNet-Lite0": (
        "strategy=partial backbone=efficientnet_lite0",
        [f"optim.lr={rate}" for rate in ("2e-3", "1e-3", "3e-4", "3e-3")],
    ),
    "rate of partial, ResNet-18": (
        "strategy=partial backbone=resnet18",
        [f"optim.lr={rate}" for rate in ("2e-3", "1e-3", "3e-4", "3e-3")],
    ),
    "rate of lp_ft, EfficientNet-Lite0": (
        "strategy=lp_ft backbone=efficientnet_lite0",
        ["optim.lr=1e-4", "optim.lr=1e-5", "optim.lr=1e-3"],
    ),
    "rate of lp_ft, ResNet-18": (
        "strategy=lp_ft backbone=resnet18",
        ["optim.lr=1e-4", "optim.lr=1e-5", "optim.lr=1e-3"],
    ),
    "gradual's rate for the backbone, ResNet-18": (
        "strategy=gradual backbone=resnet18 strategy.head_epochs=1",  # of 3 in 25, or the first rung tells nothing
        [f"strategy.backbone_lr={rate}" for rate in ("1e-4", "1e-5", "3e-4", "1e-3")],
    ),
}
RUNGS = ((3, (0,)), (8, (0, 1, 2)))  # epochs, and seeds
Sets = list[list[float]]  # of each set of pictures, one a seed
HEAD = (
    "question",
    "answer",
    *(f"{epochs} epochs, {len(seeds)} seed{'s' * (len(seeds) > 1)}" for epochs, seeds in RUNGS),
)


def main() -> None:
    options = arguments()
    rows: list[list[str]] = []
    for name in options.questions:
        common, answers = QUESTIONS[name]
        rows += asked(name, common, answers, options)
    for photos in options.photos:
        print(*(f"- {name}: {value}" for name, value in facts(photos, "resnet18", options.weights).items()), sep="\n")
    print(f"- {options.folds} folds, {options.precision}\n")
    print(tables.table(HEAD, rows))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--photos", type=Path, action="append", required=True, help="a folder of CLASS/; may be repeated"
    )
    parser.add_argument("--weights", help="a float state dict of resnet18; else torchvision's")
    parser.add_argument("--runs", type=Path, required=True, help="where finished runs are kept")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--precision", default="32-true", help="of all trainings, such as bf16-mixed")
    parser.add_argument("--rungs", type=int, default=len(RUNGS), help="only the first ones, for a shorter look")
    parser.add_argument("--questions", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    options = parser.parse_args()
    options.tree = ROOT
    return options


def asked(name: str, common: str, answers: list[str], options: argparse.Namespace) -> list[list[str]]:
    """A row an answer, with its scores on each rung that it reached; the last rung's best in bold."""
    scores: dict[str, list[Sets]] = {answer: [] for answer in answers}
    left = list(answers)
    for epochs, seeds in RUNGS[: options.rungs]:
        for answer in left:
            scores[answer].append(of_sets(f"{common} {answer}", epochs, seeds, options))
            print(f"{name}: {answer}, {epochs} epochs: {cell(scores[answer][-1])}", file=sys.stderr, flush=True)
        left = sorted(left, key=lambda answer: -mean(map(mean, scores[answer][-1])))
        best, left = left[0], left[: max(2, math.ceil(len(left) / 2))]
    return [
        [name, f"**`{answer}`**" if answer == best else f"`{answer}`", *cells(found)]
        for answer, found in scores.items()
    ]  # fmt: skip


def cells(found: list[Sets]) -> list[str]:
    return [cell(one) for one in found] + [""] * (len(RUNGS) - len(found))


def cell(sets: Sets) -> str:
    """Means over seeds, with the standard deviation of several."""
    return " / ".join(f"{mean(one):.4f}" + (f" ± {stdev(one):.4f}" if len(one) > 1 else "") for one in sets)


def of_sets(words: str, epochs: int, seeds: tuple[int, ...], options: argparse.Namespace) -> Sets:
    """Accuracies of the last epoch, out of fold."""
    if options.weights and "backbone=resnet18" in words:
        words += f" backbone.weights={quoted(Path(options.weights).resolve())}"
    strategy = words.partition("strategy=")[2].split()[0]
    words = f"{words} {reference.shortened(strategy, epochs)} trainer.precision={options.precision}"
    return [[last(words, epochs, seed, photos, options) for seed in seeds] for photos in options.photos]


def last(words: str, epochs: int, seed: int, photos: Path, options: argparse.Namespace) -> float:
    one = argparse.Namespace(**vars(options) | {"photos": photos, "epochs": epochs, "runs": options.runs / photos.name})
    words = " ".join(sorted(words.split()))  # two questions may share an answer, which is then run once
    return steady.pooled([steady.ran(words, seed, fold, one) for fold in range(options.folds)])[-1]


if __name__ == "__main__":
    main()
