"""The race: strategies in turn, fold by fold, as long as they can still win and there is time; then the decision.

It sees the jobs by the files in their folders alone, so it is the same under every launcher, and the same command again
goes on where it was cut short: finished jobs are skipped, and what was decided then is decided again.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import DictConfig

from hymtl import backbones, records, strategies
from hymtl.choose import budget, jobs, timing, winner
from hymtl.choose.budget import Budget
from hymtl.compare import choice, grouping, runs
from hymtl.compare.tables import Table
from hymtl.errors import HymtlError
from hymtl.folder import check as check_folder
from hymtl.records import choice as choice_record
from hymtl.records import failure, result
from hymtl.records import job as job_record
from hymtl.records.choice import Choice, Limits
from hymtl.strategy import Strategy

Check = Callable[[list[str], dict[int, Path]], None]
Launch = Callable[[list[list[str]]], None]
# Folds that compute features for those after them: the first of the photos it trains on, the second of the others.
PAYING = 2

log = logging.getLogger(__name__)


@dataclass
class Race:
    """What a race goes by; ``reasons`` say why strategies were left out or stopped."""

    cfg: DictConfig
    arguments: list[str]
    launch: Launch
    folder: Path
    limits: Limits
    budget: Budget
    reasons: dict[str, str] = field(default_factory=dict)
    own_test: bool = False  # whether the pictures come with a test part

    @property
    def folds(self) -> int:
        return self.cfg.data.folds

    def done(self, strategy: str) -> list[Path]:
        """Folders of a strategy's finished folds."""
        every = (self.folder / jobs.folder(strategy, fold) for fold in range(self.folds))
        return [folder for folder in every if result.found(folder)]

    def whole(self, strategy: str) -> bool:
        """Whether all of a strategy's folds are finished."""
        return len(self.done(strategy)) == self.folds

    def table(self) -> Table | None:
        """All that is finished, in one table; None before anything is."""
        folders = [folder for strategy in jobs.strategies(self.cfg) for folder in self.done(strategy)]
        tables = grouping.tables(runs.find(folders).runs) if folders else []
        if len(tables) > 1:
            raise HymtlError(
                f"{self.folder} has runs on different data or weights, which cannot be compared: "
                f"{'; '.join(table.title for table in tables)}. Give another hydra.sweep.dir."
            )
        return tables[0] if tables else None


def run(config: DictConfig, arguments: list[str], check: Check, launch: Launch) -> None:
    """Run the race that ``config``, composed of ``arguments``, describes.

    ``check`` refuses folders, by their fold, that hold jobs of other settings than words give; ``launch`` runs a batch.

    Raises:
        HymtlError: if nothing can be chosen, or the folder holds a race of other settings or pictures.
    """
    folder = Path(config.hydra.sweep.dir)
    settings = {name: config.choose[name] for name in choice_record.Limits.model_fields}
    race = Race(config, arguments, launch, folder, choice_record.limits(settings), Budget(folder, config.choose.hours))
    with race.budget.running():
        _check_earlier(race, check)
        for strategy in jobs.strategies(config):
            reason = _tried(race, strategy)
            if reason:
                race.reasons[strategy] = reason
                log.info("%s: %s", strategy, reason)
        winner.crown(race, _decided(race))


def _check_earlier(race: Race, check: Check) -> None:
    """Refuse to go on with folds of other settings or pictures, and to begin with too few pictures."""
    done: list[Path] = []
    for strategy in jobs.strategies(race.cfg):
        done += race.done(strategy)
        folders = {fold: race.folder / jobs.folder(strategy, fold) for fold in range(race.folds)}
        begun = {fold: folder for fold, folder in folders.items() if (folder / job_record.FILE).is_file()}
        if begun:
            check([*race.arguments, *jobs.words(strategy, 0)], begun)
        _check_writable(set(folders.values()) - set(done))
    crowned = race.folder / jobs.WINNER
    _check_writable([crowned])
    race.own_test = winner.check_photos(race, [*done, *([crowned] if result.found(crowned) else [])])


def _check_writable(folders: Iterable[Path]) -> None:
    """Of jobs to come; Hydra, which writes there before any job begins, would say it in its own words."""
    for folder in sorted(folders):
        if folder.exists():
            check_folder(folder)


def _tried(race: Race, strategy: str) -> str | None:
    """Cross-validate a strategy; why it was stopped or left out, if it was."""
    if not race.done(strategy) and (reason := _beyond_as_another(race, strategy)):
        return reason
    for batch in _batches(race):
        done = race.done(strategy)
        waiting = [fold for fold in batch if race.folder / jobs.folder(strategy, fold) not in done]
        if not waiting:
            continue
        if reason := _stopped(race, strategy):
            return reason
        until = _deadline(race, strategy, len(done), len(waiting))
        if until is not None and until <= time.time():
            return _out_of_hours(race, strategy)
        words = [] if until is None else [f"choose.deadline={until:.3f}"]
        race.launch([[*race.arguments, *jobs.words(strategy, fold), *words] for fold in waiting])
        for fold in waiting:
            where = race.folder / jobs.folder(strategy, fold)
            if (error := failure.error(where)) is not None:
                return f"fold {fold} failed: {error}"
            if not result.found(where):
                return _out_of_hours(race, strategy) if job_record.stopped(where) else f"fold {fold} left no result"
    return None


def _beyond_as_another(race: Race, strategy: str) -> str | None:
    """Why a strategy is left out before its first fold: what it deploys is a network that is beyond a limit already."""
    limited = race.limits.max_ms is not None or race.limits.max_mb is not None
    table = race.table() if limited else None
    for row in table.rows if table else []:
        other, backbone = choice.strategy(row), row.runs[0].result.backbone.name
        reason = choice.far_beyond(row, race.limits)
        if reason and (network := _deployed(strategy, backbone)) and network == _deployed(other, backbone):
            return f"its network is that of {other}: {reason}"
    return None


def _deployed(strategy: str, backbone: str) -> str | None:
    """The layers of what a strategy deploys as it was built; None where it becomes another network."""
    kind = strategies.kind(strategy)
    if kind.quantizes or kind.finish is not Strategy.finish:
        return None
    return str(strategies.create(strategy).build(backbones.get(backbone), 2))


def _batches(race: Race) -> Iterator[list[int]]:
    """Folds one by one where jobs run one after another, else together."""
    folds = list(range(race.folds))
    if race.cfg.hydra.launcher._target_ == jobs.BASIC_LAUNCHER:
        yield from ([fold] for fold in folds)
    else:
        yield folds


def _stopped(race: Race, strategy: str) -> str | None:
    """Why a strategy, after some of its folds, is not worth another."""
    done = race.done(strategy)
    if not done:
        return None
    if race.limits.max_ms is not None:
        timing.time([done[0]])
    table = race.table()
    assert table
    row = next(row for row in table.rows if choice.strategy(row) == strategy)
    if lost := [run.folder.name for run in row.runs if not run.predictions]:
        return f"{' and '.join(lost)} lost predictions.csv. Move that folder away, and the same command makes it anew"
    whole = [
        other for other in table.rows if race.whole(choice.strategy(other)) and not choice.obstacle(other, race.limits)
    ]
    if reason := choice.far_beyond(row, race.limits):
        return reason
    rival = max(whole, key=choice.corrected, default=None)
    if rival and (reason := choice.hopeless(row, rival, race.limits, race.folds - 1)):
        return f"stopped after {len(done)} of {race.folds} folds, as {reason}"
    return None


def _out_of_hours(race: Race, strategy: str) -> str:
    done = len(race.done(strategy))
    return f"stopped after {done} of {race.folds} folds, as choose.hours={race.cfg.choose.hours:g} is too short for all"


def _deadline(race: Race, strategy: str, done: int, together: int) -> float | None:
    """When a batch must be over, in seconds since 1970, so that the rest of the strategy fits in; None: no limit.

    Were it to win, it would train once more, on as much more as a fold is. Were it to be stopped, the best of those
    before it must still do so. A fold that computes features says little of the later ones, and may take half of the
    time that is left.
    """
    left = race.budget.left() - timing.end(race)
    if left == float("inf"):
        return None
    last = race.folds / (race.folds - 1)
    batches = race.folds - done if together == 1 else 1
    ahead = max((_coming(race, other) * last for other in jobs.strategies(race.cfg) if race.whole(other)), default=0)
    keeps = _keeps_features(race, strategy)
    share = min(left / (2 if keeps and done < PAYING else batches + last), left - ahead)
    known = 0.0 if keeps and done <= PAYING else _coming(race, strategy)
    return time.time() + (share if share >= known else 0.0)


def _coming(race: Race, strategy: str) -> float:
    """Seconds that another job of a strategy will take, by those before it; 0 before any is finished."""
    seconds = [budget.took(folder) for folder in race.done(strategy)]
    if _keeps_features(race, strategy):
        seconds = seconds[-1:]
    return sum(seconds) / len(seconds) if seconds else 0.0


def _keeps_features(race: Race, strategy: str) -> bool:
    """Whether a strategy's first jobs compute features that the later ones find."""
    fixed = strategies.kind(strategy).fixed_backbone is not Strategy.fixed_backbone
    return fixed and race.cfg.data.features_gb > 0


def _decided(race: Race) -> Choice:
    """The choice, on times that were taken side by side, once all that is chosen from was there."""
    whole = [strategy for strategy in jobs.strategies(race.cfg) if race.whole(strategy)]
    if not whole:
        reasons = "; ".join(f"{name}: {reason.rstrip('.')}" for name, reason in race.reasons.items())
        remedy = " With more choose.hours the same command goes on from here." if race.cfg.choose.hours else ""
        raise HymtlError(
            f"No strategy was cross-validated in full, so there is nothing to choose from. {reasons}.{remedy}"
        )
    timing.time([race.done(strategy)[0] for strategy in whole], again=not _decided_before(race))
    table = race.table()
    assert table
    return choice.decide(table, race.limits, race.reasons)


def _decided_before(race: Race) -> bool:
    """Whether a choice was made here, of these strategies and folds."""
    file, tried = race.folder / choice_record.FILE, jobs.strategies(race.cfg)
    before = records.found(Choice, file)
    if before is None:
        return False
    made = {candidate.strategy for candidate in before.candidates}
    folds = [folder / result.FILE for strategy in tried for folder in race.done(strategy)]
    older = all(fold.stat().st_mtime_ns <= file.stat().st_mtime_ns for fold in folds)
    return older and made.issuperset(strategy for strategy in tried if race.whole(strategy))
