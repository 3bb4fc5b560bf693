"""Features kept on disk from one run to the next, each under a key that says all they depend on."""

import hashlib
import io
import logging
import os
import time
from pathlib import Path

import torch
from torch import Tensor

from hymtl.errors import HymtlError
from hymtl.files import WriteError, clear_leftovers, tensors, write_whole
from hymtl.records import plain

log = logging.getLogger(__name__)

DIGEST = 32  # bytes of sha256, at the start of each file


class FeatureStore:
    """A folder of tables by key, each of tensors by a digest; of its ``limit`` bytes a run takes at most half.

    With a limit of 0 nothing is found in it either: all is computed, as in an empty one.

    To make room, what lay unused for most seconds times bytes goes first: a few large files drive out their like
    before the many small ones.

    A file appears whole or not at all, so processes may share the folder. It may be deleted at any time. Nothing
    here ends a run: a folder that cannot be written to is said once, a damaged file is as good as missing.
    """

    def __init__(self, folder: Path, limit: float) -> None:
        self.folder, self.limit = folder, limit
        self._used: set[Path] = set()  # by this run, so not to make room with
        self._usable = limit > 0

    def load(self, key: str) -> dict[str, Tensor]:
        """The tensors under ``key`` by their digests, on the CPU; none where there is no table, or a damaged one."""
        file = self._file(key)
        if not self.limit or not file.is_file():
            return {}
        try:
            table = _table(file)
            os.utime(file)
        except HymtlError as error:
            log.warning("features  %s is damaged (%s): they are computed again", file, error)
            return {}
        except OSError:  # another process made room
            return {}
        self._used.add(file)
        return table

    def save(self, key: str, features: dict[str, Tensor]) -> None:
        """Keep tensors of one shape by their digests under ``key`` if there is, or can be made, room for them."""
        payload = io.BytesIO()
        torch.save({"digests": list(features), "tensors": torch.stack(list(features.values()))}, payload)
        content = hashlib.sha256(payload.getbuffer()).digest() + payload.getvalue()
        try:
            if self._usable and self._make_room(len(content), self._file(key)):
                write_whole(self._file(key), content)
                self._used.add(self._file(key))
        except (OSError, WriteError) as error:
            self._usable = False
            log.warning("features  are not kept: %s Set $HYMTL_HOME to a folder with room to write.", error)

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.pt"

    def _make_room(self, size: int, place: Path) -> bool:
        self.folder.mkdir(parents=True, exist_ok=True)
        clear_leftovers(self.folder)
        entries = [entry for entry in os.scandir(self.folder) if entry.name.endswith(".pt")]  # none half written
        files = {Path(entry.path): entry.stat() for entry in entries}
        files.pop(place, None)  # about to be replaced
        sizes = {file: stat.st_size for file, stat in files.items()}
        if size + sum(sizes[file] for file in files if file in self._used) > self.limit / 2:
            return False
        now, taken = time.time(), sum(sizes.values())
        others = [file for file in files if file not in self._used]
        for file in sorted(others, key=lambda file: (files[file].st_mtime - now) * sizes[file]):
            if taken + size <= self.limit:
                break
            file.unlink(missing_ok=True)
            taken -= sizes[file]
        return True


def _table(file: Path) -> dict[str, Tensor]:
    """What a file keeps.

    Raises:
        HymtlError: if it is not the whole of what :meth:`FeatureStore.save` wrote.
    """
    content = memoryview(plain.read_bytes(file, tensors.LIMIT))
    if hashlib.sha256(content[DIGEST:]).digest() != content[:DIGEST]:
        raise HymtlError("its sha256 differs")
    table = tensors.parse(content[DIGEST:], file)
    digests, features = (table.get("digests"), table.get("tensors")) if isinstance(table, dict) else (None, None)
    if not isinstance(features, Tensor) or features.dtype != torch.float32 or features.ndim < 2:
        raise HymtlError("it has no tensors")
    if features.layout != torch.strided or not features.is_contiguous():  # which would take more memory than the file
        raise HymtlError("its tensors are not as they were saved")
    if not isinstance(digests, list) or len(set(map(str, digests))) != len(features) or not features.isfinite().all():
        raise HymtlError("it has not one finite tensor for each picture")
    return dict(zip(digests, features, strict=True))
