"""The lines that a run ends with: its record in words."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from hymtl.errors import printable
from hymtl.records.result import FILE, Backbone, Dataset, Result, Scores

GENTLE = ("lp_ft", "gradual")  # strategies that train a pretrained backbone gently
HARDLY = 0.1  # this far below a probe's validation accuracy, training photos, augmented as they are, are hardly learned


def text(result: Result, run_dir: str) -> str:
    """A few lines for the end of a run."""
    best, size = result.best, result.bytes
    loss = "" if best.val_loss is None else f", loss {best.val_loss:.4f}"
    by = "" if best.monitor == "val/acc" else f", best {best.monitor}"
    lines = [
        "",
        f"{result.strategy}  seed {result.seed}  {_named(result.dataset)}  {_named(result.backbone)} "
        f"({result.backbone.weights})",
        f"  best val accuracy  {best.val_acc:.4f}  (epoch {best.epoch}{loss}{by})",
    ]
    if result.int8:
        lines.append(f"  int8 val accuracy  {result.int8.val_acc:.4f}  (engine {result.engine})")
        lines += [f"  int8 cost          {step}" for step in _steps(result.int8_cost or {})]
        lines.append(f"  size               {(size.int8 or 0) / 1e6:.1f} MB int8, {size.float32 / 1e6:.1f} MB float")
    if result.val and result.uneven:
        lines.append(
            f"  balanced accuracy  {result.val.balanced_acc:.4f}  (each class counts alike; {_rarest(result.val)})"
        )
    made = result.deployed_calibration
    if made and made.ece_after is not None:
        without = f"{made.ece_before:.4f} without temperature {made.temperature:.2f}"
        lines.append(f"  calibration error  {made.ece_after:.4f}  ({without})")
    for unsure in result.unsure:
        if unsure.below == 0.8:
            rest = f"{unsure.right} of the other {unsure.rest} right" if unsure.rest else "that is all of them"
            lines.append(f"  unsure below 0.8   {_photos(unsure.photos, 'validation')}; {rest}")
    if result.test:
        lines.append(f"  test accuracy      {result.test.acc:.4f}  ({result.test.photos} photos that chose nothing)")
    if result.probe:
        lines.append(f"  probe at start     {result.probe.val_acc:.4f}  (logistic regression on the first features)")
    if result.seconds.fit is not None:
        lines.append(f"  fitting took       {result.seconds.fit:.0f} s on {result.device}")
    lines += [
        f"  checkpoint         {run_dir}/checkpoints/best.ckpt",
        f"  artifact           {run_dir}/artifact",
        f"  record             {run_dir}/{FILE}",
    ]
    if any(Path(run_dir).glob("events.out.tfevents.*")):
        lines.append(f"  curves             tensorboard --logdir {run_dir}")
    if result.copies:
        lines.append(f"  !!! {across(len(result.copies))}: accuracy flatters")
    lines += [f"  !!! {_lost(result)}"] if result.below_probe else []
    return printable("\n".join(lines))


COPIES = "hymtl check names them; data.leaks=drop takes the copies out, data.group keeps them together."


def across(copies: int) -> str:
    """So many pictures stand on two sides of a split, in words."""
    return f"{copies} picture{'s' * (copies != 1)} stand{'s' * (copies == 1)} on two sides of a split"


def _lost(result: Result) -> str:
    photos, start = result.dataset.val, result.probe.val_acc if result.probe else 0.0
    less = round((start - result.accuracy) * photos)
    if result.best.epoch < result.options.get("head_epochs", 0):
        return (
            f"The best epoch is one of the head alone: {result.accuracy:.4f} is {less} of {photos} photos below the "
            f"{start:.4f} of logistic regression on the same features. Try more strategy.head_epochs or another "
            "optim.lr for the head, a smaller strategy.backbone_lr for what follows, or strategy=probe."
        )
    gentle = " or ".join(name for name in GENTLE if name != result.strategy)
    # Even if it was right nowhere else: the exact sign test gives two sides of 0.5**5 more than 0.05.
    won, chance = ("won nothing", ", so few that it may be chance") if less < 6 else ("lost more than it won", "")
    return (
        f"Training the backbone {won}: {result.accuracy:.4f} is {less} of {photos} photos below the {start:.4f} of "
        f"logistic regression on the features that it began with{chance}. Try strategy=probe or frozen, which keep "
        f"them, {gentle} to change them gently, or {_other_rate(result, start)}"
    )


def _other_rate(result: Result, start: float) -> str:
    """Smaller, but where training photos are hardly learned, whose reason the scores alone do not tell."""
    rate = "strategy.backbone_lr" if "backbone_lr" in result.options else "optim.lr"
    _, learned = result.curves.get("train/acc", ([], []))
    if not learned or learned[-1] > start - HARDLY:
        return f"a smaller {rate}."
    return (
        f"another {rate}: with {learned[-1]:.4f} of the training photos right in its last epoch it has not learned "
        "these either. Smaller where the training loss jumps; larger, or more epochs, where it falls slowly."
    )


def _rarest(scores: Scores) -> str:
    name, rarest = min(scores.classes.items(), key=lambda item: item[1].photos)
    return f"{name}: {rarest.recognized} of {rarest.photos} recognized"


def _named(source: Dataset | Backbone) -> str:
    """Its name, marked where it stands in for what was asked for first: the first lines of the log say why."""
    return f"{source.name} (!!! stand-in)" if source.fallback else source.name


def _photos(count: int, kind: str = "") -> str:
    return f"{count} {kind} {'photo' if count == 1 else 'photos'}".replace("  ", " ")


def _steps(cost: dict) -> Iterator[str]:
    """In words; what another version, or nobody, wrote is left out."""
    with contextlib.suppress(LookupError, TypeError, ValueError, AttributeError):
        yield from [_step(step) for step in cost["steps"]]


def _step(step: dict) -> str:
    return (
        f"{step['from']} to {step['to']}: {_photos(len(step['lost']))} lost, {len(step['gained'])} gained; "
        f"feature cosine {step['feature_cosine']['mean']:.4f}, logits off by {step['logit_error']['mean']:.3f}"
    )
