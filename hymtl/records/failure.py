"""``failure.json``: why a job of a sweep failed, beside the jobs that did not."""

from hymtl.records import Record

FILE = "failure.json"
FORMAT = 1


class Failure(Record):
    """``error`` is its kind and message; ``overrides`` are those of the command line."""

    format: int = 1  # as first written, without this number
    error: str = "no reason recorded"
    overrides: list[str] = []
