"""From runs to tables: what was varied makes rows, named by what distinguishes them."""

import json
from collections import defaultdict
from collections.abc import Iterable

from hymtl.compare import learning
from hymtl.compare.rows import Row
from hymtl.compare.runs import Absent, Run, flat
from hymtl.compare.tables import Table

POOLED = ("seed", "data.fold")
# Where things are and how fast they load: the table's digests say what data and weights were used.
_PLUMBING = (
    "run_dir", "ckpt_path", "resume", "choose.", "data.root", "data.source", "data.workers", "data.cache_gb",
    "backbone.weights", "trainer.default_root_dir", "trainer.enable_progress_bar", "trainer.log_every_n_steps",
    "logger.",
    # Those that hymtl adds itself: none of them changes a result.
    "callbacks.best.", "callbacks.convert.", "callbacks.features.", "callbacks.last.", "callbacks.pictures.",
    "callbacks.random.", "callbacks.timer.",
    "trainer.max_epochs",  # which is epochs
)  # fmt: skip
# Choices that bring a recipe along: where one differs, what it brought is not worth a mention.
_CHOICES = ("experiment", "strategy.name", "backbone.name")


def tables(runs: list[Run], absent: Iterable[Absent] = ()) -> list[Table]:
    """Group runs; a failed or unfinished run is noted in the row whose overrides it shares but for seed and fold.

    Different data are never in one table, nor runs that split them differently (which score other photos), nor
    different weights of one backbone: where there are such, each set of weights has a table of its own.
    """
    datasets = defaultdict(list)
    for run in runs:
        datasets[run.result.dataset.digest, run.split.pooled.model_dump_json()].append(run)
    made = []
    for same_data in datasets.values():
        groups = defaultdict(list)
        mixed = _has_rival_weights(same_data)
        for run in same_data:
            groups[_weights(run) if mixed else None].append(run)
        made += [_table(group) for group in groups.values()]
    for table in made:
        _note_absent(table, absent)
    return made


def _weights(run: Run) -> tuple:
    return run.result.backbone.name, run.result.backbone.digest


def _has_rival_weights(runs: list[Run]) -> bool:
    # Random weights are what strategy=scratch is about, not another version of the pretrained ones.
    known = {_weights(run) for run in runs if run.result.strategy != "scratch"}
    return len(known) > len({name for name, _ in known})


def _table(runs: list[Run]) -> Table:
    configured = all(run.config for run in runs)  # else by what every record has
    groups: dict[str, Row] = {}
    for run in runs:
        chosen = _settings(run, configured)
        groups.setdefault(json.dumps(chosen, sort_keys=True, default=str), Row(chosen, [])).runs.append(run)
    rows = sorted(groups.values(), key=lambda row: -row.accuracy.mean)
    names = sorted({name for row in rows for name in row.settings})
    varied = [name for name in names if len({str(row.settings.get(name)) for row in rows}) > 1]
    for row in rows:
        row.label = _label(row, rows, varied)
    return Table(rows, varied)


def _settings(run: Run, configured: bool) -> dict[str, object]:
    result = run.result
    if configured and run.config is not None:
        chosen = dict(run.config)
    else:
        chosen = {"epochs": result.epochs, "data.batch_size": result.batch_size}
        chosen |= flat({"optim": result.optim, "scheduler": result.scheduler or {}})
    # What was really used, where the config says auto.
    chosen |= {f"strategy.{name}": value for name, value in result.options.items()}
    if result.precision:
        chosen["trainer.precision"] = result.precision
    chosen |= {"strategy.name": result.strategy, "backbone.name": result.backbone.name}
    chosen[learning.SETTING] = run.split.train_fraction  # 1 and 1.0 are one, and older runs have none
    chosen["experiment"] = dict(override.split("=", 1) for override in run.overrides if "=" in override).get(
        "experiment"
    )
    return {
        name: value
        for name, value in chosen.items()
        if value is not None and name not in POOLED and not name.startswith(_PLUMBING)
    }


def _label(row: Row, rows: list[Row], varied: list[str]) -> str:
    """The settings that tell a row from the others, as they would be typed.

    A strategy brings many settings along, so a setting is shown only where rows of the same choices differ in it, or
    where it was itself overridden.
    """
    kin = [other for other in rows if all(other.settings.get(name) == row.settings.get(name) for name in _CHOICES)]
    shown = [name for name in _CHOICES if name in varied and name in row.settings]
    typed = {override.lstrip("+").split("=", 1)[0] for run in row.runs for override in run.overrides}
    for name in varied:
        if name in _CHOICES or not (name in row.settings or _is_null(row, name)):
            continue
        differing = any(
            other.settings.get(name) != row.settings.get(name) and _same_kind(other, row, name) for other in kin
        )
        if differing or (name in row.settings and name.removesuffix("._target_") in typed):
            shown.append(name)
    return " ".join(describe(name, row.settings.get(name)) for name in shown or ["strategy.name"])


def _is_null(row: Row, name: str) -> bool:
    """Whether the row's config has null there, which is not to say that it lacks the setting."""
    config = row.runs[0].config or {}
    section = name.removesuffix("._target_")
    return any(key in config and config[key] is None for key in (name, section))


def _same_kind(one: Row, other: Row, name: str) -> bool:
    """Whether both have the same optimizer, or scheduler, to which a setting belongs."""
    target = f"{name.rpartition('.')[0]}._target_"
    return name == target or one.settings.get(target) == other.settings.get(target)


def describe(name: str, value: object) -> str:
    """A setting as it would be typed: ``strategy=qat``, ``optim.lr=0.001``."""
    if name.endswith("._target_") and value is not None:
        value = str(value).rpartition(".")[2]
    plain = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    text = f"{value:g}" if isinstance(value, float) else plain
    return f"{name.removesuffix('.name').removesuffix('._target_')}={text}"


def _note_absent(table: Table, absent: Iterable[Absent]) -> None:
    for lost in absent:
        for row in table.rows:
            if lost.overrides and any(_unpooled(lost.overrides) == _unpooled(run.overrides) for run in row.runs):
                row.absent.append(lost)
                break


def _unpooled(overrides: tuple[str, ...]) -> set[str]:
    """Those that tell rows apart: what a race gives its jobs tells none."""
    names = {override: override.lstrip("+").split("=", 1)[0] for override in overrides}
    return {override for override, name in names.items() if name not in POOLED and not name.startswith("choose.")}
