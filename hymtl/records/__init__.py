"""What a run leaves in its folder for others to read: each file's name, its format and its schema, in one place.

A record is a pydantic model, written by :func:`write` and read back by :func:`read`, which checks it. Nothing here
needs torch. Keys that a schema does not know are kept: later versions may add some.
"""

import math
from pathlib import Path
from typing import Annotated, TypeVar

import pydantic

from hymtl.errors import HymtlError
from hymtl.files import write_whole
from hymtl.records import plain


class Record(pydantic.BaseModel):
    """A part of a record: numbers are finite, and no text stands where a number should."""

    model_config = pydantic.ConfigDict(
        extra="allow", strict=True, allow_inf_nan=False, validate_by_name=True, validate_by_alias=True
    )


def _finite(value: object) -> object:
    return value if not isinstance(value, float) or math.isfinite(value) else None


# What training that diverged leaves is no finite number, for which JSON has no word but null.
Number = Annotated[float | None, pydantic.BeforeValidator(_finite)]
LIMIT = 64 * 2**20  # bytes of a record; a history of a thousand epochs takes one million

R = TypeVar("R", bound=Record)


def write(record: Record, file: Path) -> None:
    """The record as JSON; the file is whole or not there."""
    write_whole(file, as_json(record))


def as_json(record: Record) -> str:
    """The record as text, of finite numbers: JSON has no others."""
    return record.model_dump_json(indent=2, by_alias=True, exclude_unset=True) + "\n"


def read(schema: type[R], file: Path) -> R:
    """The record in a file.

    Raises:
        HymtlError: naming the file and the field, if it cannot be read or is not what the schema says.
    """
    try:
        return schema.model_validate_json(plain.read_bytes(file, LIMIT))
    except pydantic.ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        field = ".".join(map(str, first["loc"])) or "the whole file"
        raise HymtlError(f"{file}: {field}: {first['msg']}. Remove the folder or rerun it.") from error


def found(schema: type[R], file: Path) -> R | None:
    """The record in a file; None where there is none that can be read."""
    try:
        return read(schema, file) if file.is_file() else None
    except HymtlError:
        return None
