"""Runs of ``recipes.py`` as Markdown: what each took, the ratios, and where the time went."""

import os
from collections.abc import Iterable
from statistics import mean, median

PARTS = ("decode", "augment", "waiting", "forward", "backward", "validation")


def environment(facts: dict, load: float) -> str:
    lines = [f"- {name}: {value}" for name, value in facts.items()]
    lines.append(f"- load average before: {load:.2f}")
    return "\n".join([*lines, *([busy(load)] if busy(load) else [])])


def busy(load: float) -> str | None:
    if load < 0.2 * (os.cpu_count() or 1):
        return None
    return f"**!!! THIS MACHINE WAS BUSY (load average {load:.2f}): these times say nothing. Measure on a quiet one.**"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def figures(run, epochs: int) -> dict:
    """The figures of one run, in seconds: steady, the mean of the epochs after the first; whole, of all ``epochs``."""
    record = run.record["epochs"]
    lasted = [epoch["end"] - epoch["start"] for epoch in record]
    rest = record[1:] or record
    steady = mean(lasted[1:] or lasted)
    parts = {part: mean_or_none([epoch.get(part) for epoch in rest]) for part in PARTS}
    seen = sum(parts[part] or 0 for part in ("waiting", "forward", "backward", "validation"))
    return parts | {
        "measured": len(record),
        "whole": run.ended - run.started + (epochs - len(record)) * steady,
        "start": record[0]["start"] - run.started,
        "first": lasted[0],
        "steady": steady,
        "other": steady - seen,
        "end": run.ended - record[-1]["end"],
        "decode_at_start": run.record["decode_at_start"],
        "peak_gb": run.peak_gb,
        "val_acc": max(epoch["val_acc"] for epoch in record),
    }


def mean_or_none(values: list) -> float | None:
    return None if None in values else mean(values)


def recipes(runs: list, epochs: int, alone: list[dict]) -> list[str]:
    """The four parts of the report: the ratios, the limit, the split, and how to read them.

    ``alone`` has of each round what the convolutions of an epoch take by themselves.
    """
    groups = grouped(runs).items()
    failed = [key for key, group in groups if any(run.error for run in group)]  # its rounds have lost their partners
    found = {key: [] if key in failed else [figures(run, epochs) for run in group] for key, group in groups}
    ours = [key for key in found if key[1] != "tutorial"]
    ratios = table(
        ("recipe", "s/epoch: tutorial", "this", "ratio", f"{epochs} epochs, s: tutorial", "this", "ratio (rounds)",
         "peak GB: tutorial", "this"),
        (ratio_row(key, found, epochs) for key in ours),
    )  # fmt: skip
    limit = table(
        ("recipe", "an epoch, s", "its convolutions alone, s", "ratio (rounds)", "the command but its epochs, s",
         "start", "first epoch above the others", "end"),
        (limit_row(key, found[key], alone) for key in ours if found[key] and key[1].startswith("hymtl")),
    )  # fmt: skip
    split = table(
        ("recipe, loop", "start-up", "(decode)", "first epoch", *PARTS, "other", "end", "best val. acc. (epochs)"),
        (split_row(key, group) for key, group in found.items() if key[1].startswith(("tutorial", "hymtl"))),
    )
    return [ratios, limit, split, notes(epochs)]


def grouped(runs: list) -> dict[tuple[str, str], list]:
    groups: dict[tuple[str, str], list] = {}
    for run in runs:
        groups.setdefault((run.recipe, run.loop), []).append(run)
    return groups


def ratio_row(key: tuple[str, str], found: dict, epochs: int) -> list[str]:
    recipe, loop = key
    name = f"{recipe}{loop.removeprefix('hymtl')}" if loop.startswith("hymtl") else f"{recipe}, by {loop}"
    theirs, ours = found[recipe, "tutorial"], found[key]
    if not theirs or not ours:
        return [name, *["failed"] * 8]
    steady, whole = ([a[of] / b[of] for a, b in zip(theirs, ours, strict=True)] for of in ("steady", "whole"))
    both = (theirs, ours)
    return [
        name,
        *(f"{middle(of, 'steady')} (first {middle(of, 'first')})" for of in both),
        f"**{median(steady):.2f}**",
        *(f"{middle(of, 'whole', 0)}{extrapolated(of, epochs)}" for of in both),
        f"**{median(whole):.2f}** ({', '.join(f'{one:.2f}' for one in whole)})",
        *(middle(of, "peak_gb", 2) for of in both),
    ]


def limit_row(key: tuple[str, str], group: list[dict], alone: list[dict]) -> list[str]:
    """An epoch beside its convolutions, and what the command takes that is no epoch."""
    recipe, loop = key
    limits = [one[f"{recipe} {'bfloat16' if 'bf16' in loop else 'float32'}"] for one in alone]
    ratios = [figure["steady"] / limit for figure, limit in zip(group, limits, strict=True)]
    beside = [{"start": f["start"], "first": f["first"] - f["steady"], "end": f["end"]} for f in group]
    return [
        f"{recipe}{loop.removeprefix('hymtl')}", middle(group, "steady"), f"{median(limits):.2f}",
        f"**{median(ratios):.2f}** ({', '.join(f'{ratio:.2f}' for ratio in ratios)})",
        f"{median([sum(one.values()) for one in beside]):.1f}",
        *(middle(beside, of) for of in ("start", "first", "end")),
    ]  # fmt: skip


def split_row(key: tuple[str, str], group: list[dict]) -> list[str]:
    if not group:
        return [", ".join(key), *["failed"] * 12]
    names = ("start", "decode_at_start", "first", *PARTS, "other", "end")
    accuracy = f"{middle(group, 'val_acc', 3)} ({group[0]['measured']})"
    return [", ".join(key), *(middle(group, name) for name in names), accuracy]


def middle(group: list[dict], name: str, digits: int = 2) -> str:
    values = [figure[name] for figure in group]
    return "in workers" if None in values else f"{median(values):.{digits}f}"


def extrapolated(group: list[dict], epochs: int) -> str:
    measured = group[0]["measured"]
    return "" if measured == epochs else f" (extrapolated from {measured})"


def notes(epochs: int) -> str:
    return f"""\
Seconds and medians over rounds. An epoch is both phases, and the mean of those after the first; {epochs} epochs are the
whole process, with start-up (imports, weights, photos, and what is computed ahead) and end (conversion, scores,
pictures, the record), and where they are extrapolated, the missing epochs at that mean. The tutorial's loop has
neither conversion's scores nor pictures nor a record, nor, where it is quantized, the calibration: the first ratio
is of epochs alone, the second of all that the command does.
Tutorial: float32, 4 workers at batch 4, 8 at batch 16, every photo decoded in every epoch; where it is quantized, its
int8 backbone is hymtl's, made beforehand. Peak GB: the larger of the sampled
sum of PSS (memory that processes share counts once) over a process and its workers, and the ru_maxrss of its largest.

The limit is what `benchmarks/convolutions.py` took in the same round: each convolution by itself, of the same shapes,
batch, type and memory format, forward, and where the recipe trains it backward too. An epoch cannot be faster than
these; what it takes more is everything else: other layers, optimizer, loading, Lightning. What is no epoch is start-up
to the first epoch, what the first takes above the others, and all after the last.

The split is of an epoch. decode and augment are seconds of work in both phases: workers do them side by side, and
waiting and validation contain what of them is waited for. waiting is between training steps, with what Lightning does
there; backward contains the optimizer, validation its loading; (decode) is hymtl's, of all photos, once, summed over
threads."""


def races(runs: list, accuracy: float, rounds: int) -> str:
    """Seconds from the start of the process to the end of the first validation that reached ``accuracy``."""
    rows = []
    for (command, _), group in grouped(runs).items():
        times = [run.record and run.record["reached"] and run.record["reached"] - run.started for run in group]
        each = ["failed" if run.error else said(time) for run, time in zip(group, times, strict=True)]
        seen = [epoch["val_acc"] for run in group if run.record for epoch in run.record["epochs"]]
        middle_one = said(None if None in times else median(times))
        rows.append([f"`python train.py {command}`", middle_one, ", ".join(each), f"{max(seen, default=0):.3f}"])
    return table(("command", f"s to validation accuracy {accuracy:g}", f"each of {rounds}", "best seen"), rows)


def said(time: float | None) -> str:
    return "not reached" if time is None else f"{time:.1f}"
