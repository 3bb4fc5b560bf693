"""YAML that others wrote, read within bounds: plain types, no aliases, no deep nesting, no large files."""

import os
from pathlib import Path
from typing import Any

import yaml

from hymtl.errors import HymtlError

LIMIT = 2**20  # bytes; a run's config takes four thousand
DEPTH = 50  # of nesting
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster, where PyYAML was built with libyaml


def read(file: Path) -> Any:
    """Lists, dicts, text and numbers.

    Raises:
        HymtlError: naming the file, if it cannot be read or is more than its kind needs.
    """
    text = read_text(file, LIMIT)
    try:
        _check(file, text)
        return yaml.load(text, _LOADER)
    except HymtlError:
        raise
    except Exception as error:  # PyYAML's own, and what Python says of dates, numbers and keys that are none
        raise HymtlError(f"{file} is no YAML of hymtl: {' '.join(str(error).split())}") from error


def read_text(file: Path, limit: int) -> str:
    """The UTF-8 text of a regular file of at most ``limit`` bytes."""
    return _decoded(file, read_bytes(file, limit))


def read_bytes(file: Path, limit: int) -> bytes:
    """The content of a regular file of at most ``limit`` bytes.

    Raises:
        HymtlError: naming the file, if it cannot be read, is no file, or has more bytes.
    """
    try:
        if not file.is_file():
            raise HymtlError(f"{file} is no file.")
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            content = stream.read(limit + 1) if size <= limit else b""
    except (OSError, ValueError) as error:
        raise HymtlError(f"{file} cannot be read: {error}.") from error
    if max(size, len(content)) > limit:
        raise HymtlError(f"{file} has more than {limit} bytes, so it is not what hymtl wrote.")
    return content


def _decoded(file: Path, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise HymtlError(f"{file} is no text: {error}.") from error


def _check(file: Path, text: str) -> None:
    """Before anything is built: an alias repeats a part that may repeat others, and brackets nest without end."""
    depth = 0
    for token in yaml.scan(text, Loader=_LOADER):  # without recursion, unlike what follows
        if isinstance(token, yaml.AliasToken | yaml.AnchorToken):
            raise HymtlError(f"{file} has an alias or an anchor, which hymtl never writes.")
        if isinstance(token, _OPENING):
            depth += 1
        elif isinstance(token, _CLOSING):
            depth -= 1
        if depth > DEPTH:
            raise HymtlError(f"{file} is nested more than {DEPTH} deep.")


_OPENING = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)
