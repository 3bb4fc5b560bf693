"""The winner: trained once more on all but the test part, then scored there, once, as it is and changed."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from hymtl import records
from hymtl.choose import changes, jobs
from hymtl.compare import bounds
from hymtl.compare.sentences import sentences
from hymtl.errors import HymtlError
from hymtl.experiment import find_photos
from hymtl.records import choice as choice_record
from hymtl.records import failure, result
from hymtl.records.choice import Choice, Part
from hymtl.resuming import quote

if TYPE_CHECKING:
    from hymtl.choose.race import Race

log = logging.getLogger(__name__)


def check_photos(cfg: DictConfig) -> None:
    """Refuse, before anything trains, pictures too few for the folds and the test part.

    Raises:
        HymtlError: naming the class and the setting.
    """
    cfg = cfg.copy()
    cfg.data.fold = 0
    find_photos(cfg)


def crown(race: "Race", chosen: Choice) -> None:
    """Train the winner and score it; ``choice.json`` has the choice before, and all of it after.

    Raises:
        HymtlError: if it could not be trained, or another one was crowned here before.
    """
    file, folder = race.folder / choice_record.FILE, race.folder / jobs.WINNER
    strategy = chosen.of(chosen.chosen).strategy
    made = _crowned(folder)
    if made and (made.strategy, made.epochs) != (strategy, chosen.epochs):
        raise HymtlError(
            f"{folder} holds {made.strategy}, which an earlier choice made and scored on the test part. The choice is "
            f"now {strategy}, and a test part that was looked at before a choice is none. Give another hydra.sweep.dir "
            "and data.split_seed, or move that folder away if you do not mind."
        )
    records.write(chosen, file)
    for sentence in chosen.sentences[:3]:
        log.info("choice    %s", sentence)
    folds = [str(path.absolute()) for path in race.done(strategy)]
    words = [
        *race.arguments, f"strategy={strategy}", f"epochs={chosen.epochs}", f"hydra.sweep.subdir={jobs.WINNER}",
        f"choose.held_out=[{','.join(map(quote, folds))}]",
    ]  # fmt: skip
    race.launch([words])
    made = _crowned(folder)
    if made is None or made.test is None:
        raise HymtlError(f"The winner, {strategy}, could not be trained in {folder}: {failure.error(folder) or '?'}")
    chosen.test = _scored(race.cfg, folder, made, chosen)
    chosen.hours = race.budget.spent / 3600
    chosen.sentences = sentences(chosen)
    records.write(chosen, file)


def _crowned(folder: Path) -> result.Result | None:
    return records.read(result.Result, folder / result.FILE) if (folder / result.FILE).is_file() else None


def _scored(cfg: DictConfig, folder: Path, made: result.Result, chosen: Choice) -> Part:
    """What the winner does on the test part, beside what was promised."""
    assert made.test and made.test.photos
    cfg = cfg.copy()
    cfg.choose.held_out = []  # with the test part, as the winner was
    test, winner = find_photos(cfg).splits["test"], chosen.of(chosen.chosen)
    promised = bounds.promised(winner.accuracy, winner.photos, len(test), chosen.folds, winner.between)
    return Part(photos=len(test), acc=made.test.acc, promised=promised, changed=changes.score(folder, test))
