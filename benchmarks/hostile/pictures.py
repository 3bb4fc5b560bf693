"""Mutated picture files, and bombs, given to `hymtl predict`."""

import io
import json
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from benchmarks.hostile import mutations
from benchmarks.hostile.forks import Limits
from hymtl import cli
from hymtl.data import reading

BATCH = 50  # files of one command
LIMIT = 120.0  # seconds that it may take
MODES = {"GIF": "P", "JPEG": "RGB", "PPM": "RGB"}


def mutated(run: Path, folder: Path, count: int, chance: random.Random, limits: Limits) -> Iterator[None]:
    """``count`` mutated files of every kind, by the artifact of ``run``."""
    kinds = list(good())
    while limits.counts["mutated pictures"] < count:
        batch = min(BATCH, count - limits.counts["mutated pictures"])
        place = folder / str(limits.counts["mutated pictures"])
        place.mkdir(parents=True)
        for number in range(batch):
            kind, content = chance.choice(kinds)
            (place / f"{number}{reading.KINDS[kind][0]}").write_bytes(mutations.data(content, chance))
        said, refused = predicted(run, place, limits)
        limits.counts["mutated pictures"] += batch
        limits.counts["pictures predicted all the same"] += said
        limits.counts["pictures refused by name"] += refused
        if said + refused != batch:
            limits.failures.append(f"{place}: {said} predictions and {refused} refusals of {batch} files")
        yield


def predicted(run: Path, folder: Path, limits: Limits) -> tuple[int, int]:
    """How many files of a folder have a prediction, and how many a refusal that names them."""
    ended = limits.run(lambda: cli.main(["predict", str(run), str(folder), "--json"]), str(folder), LIMIT)
    try:
        rows = json.loads(ended.answered) if ended.code >= 0 else []
    except ValueError:
        limits.failures.append(f"{folder}: no JSON: {ended.said[-2000:]}")
        return 0, 0
    refused = [row for row in rows if "error" in row and Path(row["file"]).name in row["error"]]
    return sum("label" in row for row in rows), len(refused)


def good() -> Iterator[tuple[str, bytes]]:
    """A small file of every kind that can be read here."""
    picture = Image.radial_gradient("L").resize((48, 36)).convert("RGB")
    for kind in reading.KINDS:
        if kind not in Image.SAVE:
            continue
        for options in ({}, {"progressive": True}) if kind == "JPEG" else ({},):
            stream = io.BytesIO()
            picture.convert(MODES.get(kind, "RGB")).save(stream, kind, **options)
            yield kind, stream.getvalue()


def bombs(folder: Path) -> list[Path]:
    """Ten small files that ask for gigabytes, or never end, each in its own way."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "long.png": png(60_000, 2),
        "longest.png": png(1, 5_000_000),
        "large.png": png(30_000, 30_000),
        "claims.png": png(2**31 - 1, 2**31 - 1, rows=1),
        "deep.png": png(20_000, 10_000, bits=16, colour=6, rows=1),
        "claims.gif": b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff,"
        + b"\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\1\0;",
        "claims.bmp": b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 65_000, 65_000, 1, 24, 0, 0, 0, 0, 0, 0),
        "claims.ppm": b"P6 100000 100000 255\n" + bytes(100),
        "claims.tif": _tiff(2**31 - 1, 2**31 - 1),
        "scan.jpg": _jpeg_of(65_500, 65_500),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def png(width: int, height: int, *, bits: int = 1, colour: int = 0, rows: int | None = None) -> bytes:
    """A blank PNG; with ``rows`` it has only so many of those that it claims."""
    channels = {0: 1, 2: 3, 6: 4}[colour]
    row = bytes(1 + (width * bits * channels + 7) // 8) if rows is None else bytes(100)
    packer, body = zlib.compressobj(9), b""
    for _ in range(height if rows is None else rows):
        body += packer.compress(row)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", body + packer.flush()), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def _tiff(width: int, height: int) -> bytes:
    """A header that describes one strip, and nothing after it."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1),
            (278, 4, height), (279, 4, 2**31 - 1)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, number) for tag, kind, number in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def _jpeg_of(width: int, height: int) -> bytes:
    """A small JPEG whose header claims another size."""
    stream = io.BytesIO()
    Image.new("RGB", (16, 16)).save(stream, "JPEG")
    content = bytearray(stream.getvalue())
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(content)
