"""Files that are whole or not there."""

import os
from pathlib import Path


def write_whole(file: Path, text: str) -> None:
    """Write ``text`` beside ``file``, then put it in place: who is killed midway leaves the old one, or none."""
    beside = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    beside.write_text(text)
    os.replace(beside, file)
