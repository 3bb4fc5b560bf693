"""``job.json``: which experiment a folder of a sweep is for, from its start on."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from hymtl import records
from hymtl.records import Record

FILE = "job.json"
FORMAT = 1


FileName = Annotated[str, Field(pattern=r"^\w+\.yaml$")]  # and no path, as these are written back


class Job(Record):
    """``settings`` and ``config_hash`` are :mod:`hymtl.fingerprint`'s; ``hydra`` has the text of ``.hydra/*.yaml``.

    ``stopped`` says why a race ended the job before its end, where one did.
    """

    format: int = 1  # as first written, without this number
    config_hash: str
    settings: dict[str, Any]
    hydra: dict[FileName, str] = {}
    stopped: str | None = None


def stopped(folder: Path) -> bool:
    """Whether a race ended the job in ``folder`` before its end."""
    job = records.found(Job, folder / FILE)
    return job is not None and job.stopped is not None
