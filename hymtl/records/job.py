"""``job.json``: which experiment a folder of a sweep is for, from its start on."""

from typing import Annotated, Any

from pydantic import Field

from hymtl.records import Record

FILE = "job.json"
FORMAT = 1


FileName = Annotated[str, Field(pattern=r"^\w+\.yaml$")]  # and no path, as these are written back


class Job(Record):
    """``settings`` and ``config_hash`` are :mod:`hymtl.fingerprint`'s; ``hydra`` has the text of ``.hydra/*.yaml``."""

    format: int = 1  # as first written, without this number
    config_hash: str
    settings: dict[str, Any]
    hydra: dict[FileName, str] = {}
