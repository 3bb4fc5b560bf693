"""``race.json``: what the attempts at a race took."""

from hymtl.records import Record

FILE = "race.json"
FORMAT = 1


class Race(Record):
    """``spent`` are the seconds of all attempts, up to the last sign of life of each."""

    format: int = FORMAT
    spent: float = 0.0
