"""The one reader of pictures: training, prediction and `hymtl check` see a file alike, or refuse it alike.

A picture is what a person sees of it: turned upright, transparency over white, 16 bits scaled to 8 and not clipped, of
an animation the first frame. How large a file, a picture and its memory may be is checked before memory is spent.
Nothing here needs torch.
"""

import io
import math
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from hymtl.errors import HymtlError
from hymtl.runtime import give_back

KINDS = {  # Pillow's name of a kind, and how its files end
    "JPEG": (".jpg", ".jpeg", ".jfif"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "JPEG2000": (".jp2", ".j2k"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif"),
}
SUFFIXES = tuple(suffix for suffixes in KINDS.values() for suffix in suffixes)
MAX_PIXELS = 200_000_000  # what the largest phone cameras take
MAX_ELONGATION = 100  # the longer side by the shorter
MAX_BYTES = 1_000_000_000  # of a file: some decoders take it into memory as a whole
ENOUGH = 32_000_000  # pixels: larger pictures are scaled down as they are decoded, by a whole number

# What decoding to RGB takes, as measured with Pillow 13: bytes a pixel, 4 where nothing is said.
_BYTES = {"WEBP": 16, "AVIF": 10, "HEIF": 10, "JPEG2000": 20, "TIFF": 8}
_TOGETHER = 1_200_000_000  # bytes for all pictures that are decoded at the same time
_ALONE = 1_800_000_000  # bytes for one that has its turn when there is no other
_LARGE = 200_000_000  # bytes, after which free memory goes back to the system

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by the EXIF tag Orientation
_ORIENTATION, _BITS = 0x0112, 258  # tags of EXIF and TIFF

# Pillow has a lower limit of its own. Frames that are larger than their picture claims still come up against it.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # we refuse where Pillow warns

T = TypeVar("T")


def read(file: Path, then: Callable[[Image.Image], T], *, enough: int = ENOUGH) -> T:
    """What ``then`` makes of the picture in ``file``, which is RGB, scaled down to at most ``enough`` pixels.

    Memory is set aside for the picture until ``then`` returns, so that threads that decode large ones take turns.

    Raises:
        HymtlError: naming the file, if it is no picture, a broken one, of a kind that is not read, or absurdly large;
            also if ``then`` raises one.
    """
    with _explained(file):
        return _read(file, _size_on_disk(file), then, enough, MAX_PIXELS)


def read_bytes(content: bytes, name: str, then: Callable[[Image.Image], T], *, max_pixels: int = MAX_PIXELS) -> T:
    """The same of a file's content that never was on disk; errors call it ``name``."""
    with _explained(Path(name)):
        if not content:
            raise HymtlError("it is empty.")
        return _read(io.BytesIO(content), len(content), then, ENOUGH, max_pixels)


def _read(source: Path | io.BytesIO, size: int, then: Callable[[Image.Image], T], enough: int, max_pixels: int) -> T:
    with _turn(_memory(source, size, max_pixels)):
        return then(_seen(source, enough))


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Whatever is wrong, as an error that names the file."""
    try:
        yield
    except HymtlError as error:
        raise HymtlError(f"{file} cannot be read as a picture: {error} Fix or remove it.") from error
    except FileNotFoundError as error:
        raise HymtlError(f"{file}: there is no such file or folder.") from error
    except UnidentifiedImageError as error:
        raise HymtlError(f"{file} cannot be read as a picture: {_no_kind(file)}") from error
    except Image.DecompressionBombError as error:
        why = f"it has too many pixels, at most {MAX_PIXELS / 1e6:.0f} million are read"
        raise HymtlError(f"{file} cannot be read as a picture: {why}. Fix or remove it.") from error
    except Exception as error:  # decoders of broken files raise whatever they trip over, MemoryError too
        reason = " ".join(str(getattr(error, "strerror", None) or error).split()).rstrip(".")
        reason = reason or type(error).__name__
        raise HymtlError(f"{file} cannot be read as a picture: {reason}. Fix or remove it.") from error


def header(file: Path) -> tuple[str, int, int] | None:
    """Pillow's name of what a file holds, width and height, by its first bytes; None where it is no picture."""
    try:
        with Image.open(file, formats=_readable()) as image:
            return "JPEG" if image.format == "MPO" else str(image.format), image.width, image.height
    except Exception:  # as in read()
        return None


def as_seen(image: Image.Image, enough: int = ENOUGH) -> Image.Image:
    """An opened picture as a person sees it: RGB, upright, at most ``enough`` pixels."""
    if (factor := _factor(image, enough)) > 1:
        image.draft(image.mode, (image.width // factor, image.height // factor))  # JPEG: decodes a part of the numbers
    image.load()
    orientation = _orientation(image)
    image = _over_white(_eight_bits(image))
    if (factor := _factor(image, enough)) > 1:
        image = image.reduce(factor)
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _size_on_disk(file: Path) -> int:
    """Bytes; other things than files are refused, as reading a pipe may never end."""
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise HymtlError("it is no file.")
    if status.st_size == 0:
        raise HymtlError("it is empty.")
    if status.st_size > MAX_BYTES:
        raise HymtlError(f"it has {status.st_size / 1e6:,.0f} MB, and at most {MAX_BYTES / 1e6:,.0f} are read.")
    return status.st_size


def _memory(source: Path | io.BytesIO, size: int, max_pixels: int) -> int:
    """Bytes that decoding takes, and what comes after it; nothing is decoded yet, but what is absurd is refused."""
    with Image.open(source, formats=_readable()) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise HymtlError(
                f"its {width} x {height} pixels are {width * height / 1e6:,.0f} million, and at most "
                f"{max_pixels / 1e6:.0f} million are read."
            )
        if max(width, height) > MAX_ELONGATION * min(width, height):
            raise HymtlError(f"it is {width} x {height} pixels, more than {MAX_ELONGATION} times as long as wide.")
        a_pixel = 7 if image.info.get("progressive") else _BYTES.get(image.format or "", 4)
        a_pixel += 5 * (image.mode != "RGB")
    taken = size + max(width * height * a_pixel, min(width * height, ENOUGH) * 14)
    if taken > _ALONE:
        raise HymtlError(
            f"decoding its {width} x {height} pixels would take {taken / 1e9:.1f} GB of memory, more than "
            f"{_ALONE / 1e9:.1f}. Scale it down, or keep it as JPEG."
        )
    return taken


def _seen(source: Path | io.BytesIO, enough: int) -> Image.Image:
    """What was decoded to get there is given back with the file's own picture, when this returns."""
    with Image.open(source, formats=_readable()) as image:
        return as_seen(image, enough)


class _Room:
    """Memory that pictures being decoded share; one that needs more than there is has its turn alone."""

    def __init__(self) -> None:
        self._taken, self._changed = 0, threading.Condition()

    @contextmanager
    def take(self, needed: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + needed <= _TOGETHER)
            self._taken += needed
        try:
            yield
        finally:
            if needed > _LARGE:
                give_back()  # malloc would keep it for the thread that it was for, and others take as much again
            with self._changed:
                self._taken -= needed
                self._changed.notify_all()


_turn = _Room().take


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey levels of 16 bits, 32 bits or floats scaled to 8 bits; others as they are.

    16 bits are scaled as screens do, by the range of the kind; floats and 32 bits have no such range, so by the first
    of 1 (floats), 255 (floats), 65535 and their own largest that none exceeds.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    low, high = 0.0, 65535.0
    if image.mode.startswith("I;"):
        bits = getattr(image, "tag_v2", {}).get(_BITS, (16,))[0]  # TIFF has pictures of 12 bits
        high = 2.0 ** min(bits, 16) - 1
    else:
        low, high = _range(values, (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,))
    levels = np.empty(values.shape, np.uint8)
    rows = max(1, 2**20 // values.shape[1])
    for start in range(0, len(values), rows):  # piece by piece: floats of all would take four times the memory
        part = (values[start : start + rows].astype(np.float64) - low) * (255 / (high - low))
        levels[start : start + rows] = np.nan_to_num(part, nan=0, posinf=255, neginf=0).clip(0, 255).round()
    return Image.fromarray(levels)


def _range(values: np.ndarray, usual: tuple[float, ...]) -> tuple[float, float]:
    """Black and white of values whose kind has no range."""
    known = np.isfinite(values)
    low = float(values.min(where=known, initial=0))
    high = float(values.max(where=known, initial=0))
    if low < 0:
        return low, max(high, low + 1)
    return 0.0, next((white for white in usual if high <= white), high)


def _orientation(image: Image.Image) -> int | None:
    """As EXIF numbers them; None where there is none, or its data are broken."""
    try:
        return image.getexif().get(_ORIENTATION)
    except Exception:  # as many kinds as there are ways to break them
        return None


def _over_white(image: Image.Image) -> Image.Image:
    """RGB, at the cost of a copy where it is not; what is transparent is white."""
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    image = image if image.mode in ("RGBA", "LA") else image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _factor(image: Image.Image, enough: int) -> int:
    """The number of pixels of which, in both directions, an average is enough."""
    return math.ceil(math.sqrt(image.width * image.height / enough))


def _no_kind(file: Path) -> str:
    if file.suffix.lower() in KINDS["HEIF"] and "HEIF" not in _readable():
        return 'HEIC takes a plugin: pip install "hymtl[heic]".'
    return f"it is none of {', '.join(_readable())}. Fix or remove it."


@cache
def _readable() -> tuple[str, ...]:
    """Pillow's names of the kinds that can be read here: HEIF takes a plugin."""
    try:
        import pillow_heif
    except ImportError:
        pass
    else:
        pillow_heif.register_heif_opener()
    Image.init()
    return tuple(name for name in KINDS if name in Image.OPEN)
