"""Test parts that were scored before: a score that was seen is no test of what is chosen after it.

Each look is kept in ``$HYMTL_HOME``, whatever becomes of the race's folder. The same winner scored again is the same
look.
"""

import logging
from collections.abc import Sequence

from hymtl import records
from hymtl.data.photos import Photo
from hymtl.errors import HymtlError
from hymtl.files import home
from hymtl.records.look import Look

FOLDER = "looks"
MOST = 0.5  # of the photos: a test part of another data.split_seed shares as many as are set aside, a fifth

log = logging.getLogger(__name__)


def before(test: Sequence[Photo]) -> list[Look]:
    """The looks at most of these photos, by the folders of their races."""
    photos = {photo.digest for photo in test}
    looks = (records.found(Look, file) for file in (home() / FOLDER).glob("*.json"))
    same = (look for look in looks if look and len(photos.intersection(look.photos)) > MOST * len(photos))
    return sorted(same, key=lambda look: (look.folder, look.chosen))


def keep(look: Look) -> None:
    """Have later choices know of it; where nothing can be written, that is said and no more."""
    file = home() / FOLDER / f"{look.config_hash[:32]}.json"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        records.write(look, file)
    except (OSError, HymtlError) as error:
        log.warning("that the test part was looked at could not be kept: %s", error)


def words(look: Look) -> str:
    """What was chosen, and where."""
    return f"{look.chosen} in {look.folder}"
