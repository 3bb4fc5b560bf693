"""The winner: trained once more on all but the test part, then scored there, once, as it is and changed."""

import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from hymtl import records
from hymtl.choose import changes, jobs, looks
from hymtl.compare import bounds
from hymtl.compare.sentences import epochs as epochs_in_words
from hymtl.compare.sentences import sentences, unseen
from hymtl.data.photos import PhotoFolder
from hymtl.data.splits import ASIDE
from hymtl.errors import HymtlError, printable
from hymtl.experiment import find_photos
from hymtl.records import choice as choice_record
from hymtl.records import failure, result
from hymtl.records import job as job_record
from hymtl.records import look as look_record
from hymtl.records.choice import Choice, Part
from hymtl.records.look import Look
from hymtl.resuming import quote

if TYPE_CHECKING:
    from hymtl.choose.race import Race

log = logging.getLogger(__name__)


def check_photos(race: "Race", done: Iterable[Path]) -> bool:
    """Refuse, before anything trains, pictures too few for the folds and the test part, or others than the runs in the
    folders ``done`` were made of, and a share for the test part of pictures that come with one; warn where the test
    part was scored before, by races in other folders.

    Returns:
        Whether the pictures came with the test part.

    Raises:
        HymtlError: naming the class and the setting, or the run.
    """
    cfg = race.cfg.copy()
    cfg.data.fold = 0
    photos = find_photos(cfg)
    test = photos.splits.get(ASIDE)
    if not test:
        raise HymtlError(
            "data.test_fraction=0: experiment=choose scores what it chose on a test part that nothing was chosen by. "
            "Give data.test_fraction=0.2."
        )
    own = _comes_with_test(photos)
    if own and cfg.data.test_fraction and _typed(race, "data.test_fraction"):
        raise HymtlError(
            f"data.test_fraction={cfg.data.test_fraction}: {photos.root} has a test part of its own, which the "
            "winner is scored on. Leave data.test_fraction out."
        )
    for folder in done:
        digest = records.read(result.Result, folder / result.FILE).dataset.digest
        if digest != photos.digest:
            raise HymtlError(
                f"{folder} holds the result of other pictures: their sha256 is {digest:.12s}, that of {photos.root} is "
                f"now {photos.digest:.12s}. Results on different pictures are never mixed: give another "
                "hydra.sweep.dir, or put the pictures back."
            )
    here = str(Path(cfg.hydra.sweep.dir).absolute())
    for look in looks.before(test):
        if look.folder != here:
            # Hydra makes logging ready with the first job.
            print(
                f"!!! the test part was scored before, for {printable(looks.words(look))}. What is chosen now, "
                f"unless it is the same again, is promised too much. {unseen(own)}",
                file=sys.stderr,
            )
    return own


def _comes_with_test(photos: PhotoFolder) -> bool:
    """Whether the test part was there before, and not cut from the pictures."""
    return not (photos.arrangement or {}).get("test_fraction")


def _typed(race: "Race", name: str) -> bool:
    """Whether a setting was given on the command line."""
    return any(word.lstrip("+").startswith(f"{name}=") for word in race.arguments)


def crown(race: "Race", chosen: Choice) -> None:
    """Train the winner and score it; ``choice.json`` has the choice before, and all of it after.

    Raises:
        HymtlError: if it could not be trained, or another one was crowned here before.
    """
    file, folder = race.folder / choice_record.FILE, race.folder / jobs.WINNER
    strategy = chosen.of(chosen.chosen).strategy
    if earlier := _earlier(folder, strategy, chosen.epochs):
        raise HymtlError(
            f"{folder} holds {earlier}, which an earlier choice made and scored on the test part. The choice is now "
            f"{strategy} for {epochs_in_words(chosen.epochs)}, and a test part that was looked at already cannot judge "
            f"it. {unseen(race.own_test)} Or move that folder away, if a score that is promised too much will do."
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
    made, failed = result.found(folder), failure.error(folder)
    if failed or made is None or made.test is None:
        raise HymtlError(f"The winner, {strategy}, could not be trained in {folder}: {failed or 'it left no result'}")
    chosen.copies = max(chosen.copies, len(made.copies))
    try:
        chosen.test = _scored(race, folder, made, chosen)
    except HymtlError as error:  # its artifact has lost a file, say
        raise HymtlError(f"{error} Move {folder} away, and the same command trains the winner anew.") from error
    chosen.hours = race.budget.spent / 3600
    chosen.sentences = sentences(chosen)
    records.write(chosen, file)


def _earlier(folder: Path, strategy: str, epochs: int | None) -> str | None:
    """What was crowned here before, where that was something else."""
    made = result.found(folder)
    if made is None:
        return None
    job = records.read(job_record.Job, folder / job_record.FILE)
    asked = job.settings["epochs"]  # as those it trained may be fewer, by trainer.max_time
    return None if (made.strategy, asked) == (strategy, epochs) else f"{made.strategy} for {epochs_in_words(asked)}"


def _scored(race: "Race", folder: Path, made: result.Result, chosen: Choice) -> Part:
    """What the winner does on the test part, beside what was promised."""
    assert made.test and made.test.photos and made.config_hash
    cfg = race.cfg.copy()
    cfg.choose.held_out = []  # with the test part, as the winner was
    test, winner = find_photos(cfg).splits["test"], chosen.of(chosen.chosen)
    look = Look(
        format=look_record.FORMAT,
        folder=str(race.folder.absolute()),
        chosen=f"{chosen.chosen} ({epochs_in_words(chosen.epochs)})",
        config_hash=made.config_hash,
        photos=[photo.digest for photo in test],
    )
    earlier = [looks.words(other) for other in looks.before(test) if other.config_hash != look.config_hash]
    looks.keep(look)
    return Part(
        photos=len(test),
        trained=made.dataset.train,
        acc=made.test.acc,
        promised=bounds.promised(
            winner.accuracy, winner.photos, len(test), chosen.folds, winner.between, winner.design
        ),
        changed=changes.score(folder, test),
        looks=earlier,
        own=race.own_test,
    )
