"""``$HYMTL_HOME/looks/*.json``: a test part that a choice was scored on, so that later choices know of it."""

from hymtl.records import Record

FORMAT = 1


class Look(Record):
    """``folder`` is the race's, ``chosen`` what it shipped, ``config_hash`` of the winner's settings; ``photos`` are
    the sha256 of the pictures' bytes, in hex.
    """

    format: int = FORMAT
    folder: str
    chosen: str
    config_hash: str
    photos: list[str]
