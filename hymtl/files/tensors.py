"""Files of tensors, as ``torch.save`` writes them: read within bounds, and never run."""

import contextlib
import io
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from hymtl.errors import HymtlError
from hymtl.files import writing

LIMIT = 2 * 2**30  # bytes of a file, where nothing tells how much belongs into it


def save(content: Any, file: Path) -> None:
    """``torch.save``, so that ``file`` is whole or as it was.

    Raises:
        WriteError: naming the file, if the system refuses.
    """
    with writing(file) as out:
        dump(content, out)


def dump(content: Any, stream: BinaryIO) -> None:
    """``torch.save`` to a stream; where the system refuses to write, that is the error, not what torch makes of it."""
    try:
        torch.save(content, stream)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def read(file: Path, limit: int = LIMIT) -> Any:
    """The plain types and tensors in a file, on the CPU.

    It takes about as much memory as the file has bytes, at most ``limit``.

    Raises:
        HymtlError: naming the file, if it is larger, is no whole file of ``torch.save``, or holds anything else.
    """
    with _explained(file):
        _check(file, limit)
        with file.open("rb") as stream:
            _check_archive(stream, file)
        return torch.load(file, map_location="cpu", weights_only=True)


def parse(content: bytes | memoryview, file: Path) -> Any:
    """The same of the content of a file, or a part of it; errors call it ``file``."""
    with _explained(file):
        stream = io.BytesIO(content)
        _check_archive(stream, file)
        stream.seek(0)
        return torch.load(stream, map_location="cpu", weights_only=True)


def _reason(error: Exception) -> str:
    """What is wrong, without torch's advice to load it in a way that would run what is in it."""
    said = str(error).partition("WeightsUnpickler error:")[2] or str(error)
    first = next(iter(said.strip().splitlines()), "") or type(error).__name__
    return first.partition(" was not an allowed global")[0].rstrip(".")


@contextlib.contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Whatever is wrong, as an error that names the file."""
    try:
        yield
    except HymtlError:
        raise
    except MemoryError as error:
        raise HymtlError(f"{file} wants more memory than there is.") from error
    except Exception as error:  # torch, pickle and zipfile each have their own for a damaged file
        raise HymtlError(
            f"{file} cannot be read as tensors, and nothing in it was run: {_reason(error)}. It is no file that "
            "torch.save wrote, or it was cut short, damaged or made to do something else."
        ) from error


def _check(file: Path, limit: int) -> None:
    """The kind and the size of a file, before any memory is spent on it."""
    found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        raise HymtlError(f"{file} is no file.")
    if not found.st_size:
        raise HymtlError(f"{file} is empty.")
    if found.st_size > limit:
        raise HymtlError(f"{file} has {found.st_size / 1e9:.2g} GB, more than the {limit / 1e9:.2g} GB that fit here.")


def _check_archive(stream: BinaryIO, file: Path) -> None:
    """That what is inside takes no more room than the file itself."""
    if not zipfile.is_zipfile(stream):
        return  # as torch wrote before 1.6: its tensors are as long as the file says, or refused
    size = stream.seek(0, io.SEEK_END)
    with zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):  # torch never packs
        raise HymtlError(f"{file} is packed, which torch.save never does: a small file may unpack to any size.")
    if sum(entry.file_size for entry in entries) > size:
        raise HymtlError(f"{file} holds more than its own {size} bytes.")


def first_not_finite(state: dict[str, Any]) -> str | None:
    """The name of the first tensor of a state dict that has a number that is none; None where all is well."""
    for name, value in state.items():
        for tensor in value if isinstance(value, tuple | list) else (value,):
            if isinstance(tensor, Tensor) and tensor.is_quantized:
                tensor = _scales(tensor)
            if isinstance(tensor, Tensor) and tensor.is_floating_point() and not torch.isfinite(tensor).all():
                return name
    return None


def _scales(tensor: Tensor) -> Tensor:
    per_channel = tensor.qscheme() in (torch.per_channel_affine, torch.per_channel_symmetric)
    return tensor.q_per_channel_scales() if per_channel else torch.tensor(tensor.q_scale())
