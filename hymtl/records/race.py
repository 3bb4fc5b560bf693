"""``race.json``: when the attempts at a race began, and what earlier ones took."""

from hymtl.records import Record

FILE = "race.json"
FORMAT = 1


class Race(Record):
    """``began`` is the last attempt's beginning, in seconds since 1970; ``spent`` the seconds of those before."""

    format: int = FORMAT
    began: float
    spent: float = 0.0
