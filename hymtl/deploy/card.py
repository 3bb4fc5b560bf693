"""The model card: ``README.md`` of an artifact, with the front matter that model hubs read.

Format: https://huggingface.co/docs/hub/model-cards. ``SHA256SUMS`` leaves it out: it is for people, who may write more.
"""

from collections.abc import Mapping
from pathlib import Path

import yaml
from scipy.stats import binomtest

from hymtl.files import write_whole
from hymtl.records.result import Calibration

FILE = "README.md"


def write(folder: Path, facts: Mapping, scores: Mapping, cost: Mapping | None, calibration: Calibration) -> None:
    """Write the card of a network with these ``facts``, ``scores``, ``cost`` of int8 and ``calibration``.

    What they are: see :func:`hymtl.deploy.convert.convert`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    front = yaml.safe_dump(_front_matter(facts, scores), sort_keys=False, allow_unicode=True)
    write_whole(folder / FILE, f"---\n{front}---\n\n" + "\n".join(_lines(facts, scores, cost, calibration)) + "\n")


def _front_matter(facts: Mapping, scores: Mapping) -> dict:
    name = _name(facts)
    dataset = _dataset(facts)
    metrics = [
        {"type": "accuracy", "name": f"{name} accuracy", "value": round(scores[key], 4)}
        for name, key in (("validation", "val_acc"), ("test", "test_acc"))
        if key in scores
    ]
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"name": dataset, "type": dataset},
        "metrics": metrics,
    }
    return {
        "library_name": "hymtl",
        "pipeline_tag": "image-classification",
        "license": "other",
        "license_name": "see-below",
        "tags": ["hymtl", facts["backbone"], facts["strategy"]["name"], "int8" if _is_int8(facts) else "float"],
        "model-index": [{"name": name, "results": [result]}],
    }


def _lines(facts: Mapping, scores: Mapping, cost: Mapping | None, calibration: Calibration) -> list[str]:
    sources = facts["sources"] or {}
    after = "" if calibration.ece_after is None else f", {calibration.ece_after:.4f} after"
    dataset, backbone = sources.get("dataset", {}), sources.get("backbone", {})
    photos = scores["val_photos"]
    flattered = "The best epoch was chosen on the same photos, which flatters it."
    if not scores.get("trains", True):
        flattered = "Its head was solved, and nothing chosen by them."
    if scores.get("folds"):
        flattered = (
            f"Out of fold, each fold's best epoch; then it was trained on all {photos}, and its last epoch kept."
        )
    lines = [
        f"# {_name(facts)}",
        "",
        f"Tells {', '.join(facts['classes'])} apart: {facts['backbone']} with strategy `{facts['strategy']['name']}`, "
        + (f"int8 (engine {facts['strategy']['engine']})." if _is_int8(facts) else "float."),
        "",
        f"- data: {_dataset(facts)}, {dataset.get('train', '?')} to train on, sha256 `{dataset.get('digest')}`",
        f"- started from: {_weights(backbone)}",
        f"- validation accuracy: {_accuracy(scores['val_acc'], photos)} {flattered}",
        f"- calibration: temperature {calibration.temperature:.3f}; expected calibration error "
        f"{calibration.ece_before:.4f} before{after}",
    ]
    if "test_acc" in scores:
        lines.append(
            f"- test accuracy: {_accuracy(scores['test_acc'], scores['test_photos'])} Nothing was chosen by them."
        )
    for step in (cost or {}).get("steps", []):
        lines.append(
            f"- int8, {step['from']} to {step['to']}: {len(step['lost'])} photos lost, {len(step['gained'])} gained; "
            f"logits off by {step['logit_error']['mean']:.3f} in the mean, {step['logit_error']['max']:.3f} at most"
        )
    return [
        *lines,
        "",
        "It knows these classes only, and puts any picture into one of them. What it says of pictures of another kind "
        "than those it was validated on was not measured.",
        "",
        "## Use",
        "",
        "```python",
        "import hymtl",
        "",
        'predictor = hymtl.load("THIS FOLDER")',
        'print(predictor("photo.jpg").label)',
        "```",
        "",
        "`hymtl predict THIS_FOLDER photo.jpg` says the same; `hymtl export` makes a file for other runtimes.",
        "",
        "## Licences",
        "",
        f"hymtl: MIT. The weights come from {'' if _random(backbone) else 'pretrained ones and from '}the pictures "
        "named above, whose licences hymtl does not know: look them up before you pass this on.",
    ]  # fmt: skip


def _is_int8(facts: Mapping) -> bool:
    return "engine" in facts["strategy"]


def _name(facts: Mapping) -> str:
    return f"{facts['backbone']}-{facts['strategy']['name']}-{_dataset(facts)}"


def _dataset(facts: Mapping) -> str:
    return (facts["sources"] or {}).get("dataset", {}).get("name", "unknown")


def _weights(backbone: Mapping) -> str:
    """Without the folder, which is nobody's business elsewhere; random ones have no digest."""
    digest = f", sha256 `{backbone['digest']}`" if backbone.get("digest") else ""
    return f"{backbone.get('name')}, weights {Path(str(backbone.get('weights'))).name}{digest}"


def _random(backbone: Mapping) -> bool:
    return backbone.get("digest") is None


def _accuracy(share: float, photos: int) -> str:
    interval = binomtest(round(share * photos), photos).proportion_ci(method="wilson")
    return f"{share:.4f} on {photos} photos, 95 % interval {interval.low:.3f} to {interval.high:.3f} (Wilson)."
