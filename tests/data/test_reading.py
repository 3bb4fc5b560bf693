"""The one reader: known pixels come out as a person sees them, and what is absurd is refused before memory is spent."""

import io
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hymtl.data import reading
from hymtl.errors import HymtlError

ORIENTATION = 0x0112


def pixels(file) -> np.ndarray:
    return reading.read(Path(file), np.asarray)


def drawn(width=24, height=16) -> Image.Image:
    """A picture that is different from every side."""
    picture = Image.new("RGB", (width, height), (40, 80, 120))
    picture.paste((250, 20, 20), (0, 0, width // 2, height // 4))
    picture.paste((20, 200, 40), (0, height // 2, width // 4, height))
    return picture


def test_the_eight_orientations_of_exif_are_one_picture(tmp_path):
    upright = drawn()
    stored = {  # how a camera writes it that was held otherwise: the inverse of what turns it upright
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    for suffix in ("png", "webp", "tif"):
        for orientation, method in stored.items():
            exif = Image.Exif()
            exif[ORIENTATION] = orientation
            file = tmp_path / f"{orientation}.{suffix}"
            (upright.transpose(method) if method is not None else upright).save(file, exif=exif, lossless=True)
            assert np.array_equal(pixels(file), np.asarray(upright)), (suffix, orientation)


def test_sixteen_bits_turn_like_the_others(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(np.array([[0, 65535]], np.uint16)).save(tmp_path / "wide.png", exif=exif)
    assert pixels(tmp_path / "wide.png")[:, 0, 0].tolist() == [0, 255]


def test_broken_exif_costs_no_picture(tmp_path):
    drawn().save(tmp_path / "a.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.array_equal(pixels(tmp_path / "a.png"), np.asarray(drawn()))


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path, suffix):
    values = np.array([[0, 257, 25700, 32768, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    assert pixels(tmp_path / f"a.{suffix}")[0, :, 0].tolist() == [0, 1, 100, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.0, 255.0], [0, 100, 255]),
        ([0.0, float("nan"), 65535.0], [0, 0, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([0.0, 1e6, 2e6], [0, 128, 255]),
    ],
)
def test_floats_are_scaled_by_their_range(tmp_path, values, expected):
    Image.fromarray(np.array([values], np.float32)).save(tmp_path / "a.tif")
    assert pixels(tmp_path / "a.tif")[0, :, 0].tolist() == expected


def transparent() -> dict[str, Image.Image]:
    """Pictures of two pixels: one red and opaque, one that is not there."""
    rgba = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    rgba.putpixel((1, 0), (0, 0, 0, 0))
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([255, 0, 0, 0, 0, 0])
    palette.putpixel((1, 0), 1)
    return {"RGBA": rgba, "P": palette}


def test_what_is_transparent_is_white(tmp_path):
    found = transparent()
    found["RGBA"].save(tmp_path / "a.png")
    found["RGBA"].save(tmp_path / "a.webp", lossless=True)
    found["P"].save(tmp_path / "p.png", transparency=1)
    found["P"].save(tmp_path / "p.gif", transparency=1)
    Image.new("RGB", (2, 1), (255, 0, 0)).save(tmp_path / "opaque.png", transparency=(0, 0, 0))
    for name in ("a.png", "a.webp", "p.png", "p.gif"):
        assert pixels(tmp_path / name)[0].tolist() == [[255, 0, 0], [255, 255, 255]], name
    assert (pixels(tmp_path / "opaque.png") == [255, 0, 0]).all()
    grey = Image.new("LA", (3, 1), (100, 255))
    grey.putpixel((1, 0), (0, 0))
    grey.putpixel((2, 0), (0, 128))
    grey.save(tmp_path / "la.png")
    assert pixels(tmp_path / "la.png")[0, :, 0].tolist() == [100, 255, 127]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "RGBA", "LA", "YCbCr"])
def test_modes_become_rgb(tmp_path, mode):
    grey = Image.linear_gradient("L").convert("RGB")
    suffix = "tif" if mode in ("CMYK", "YCbCr") else "png"
    picture = grey.convert(mode)
    picture.save(tmp_path / f"a.{suffix}")
    found = pixels(tmp_path / f"a.{suffix}").astype(int)
    assert found.shape == (256, 256, 3)
    assert np.abs(found - np.asarray(picture.convert("RGB"))).max() <= 2
    assert mode in ("1", "P") or np.abs(found - np.asarray(grey)).max() <= 2


@pytest.mark.parametrize("kind", ["gif", "png", "webp", "tif", "avif"])
def test_an_animation_is_its_first_frame(tmp_path, kind):
    first, second = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
    first.save(tmp_path / f"a.{kind}", save_all=True, append_images=[second], duration=100, lossless=True)
    assert np.abs(pixels(tmp_path / f"a.{kind}").astype(int) - [255, 0, 0]).max() <= 3


def test_kinds_without_loss_are_one_picture(tmp_path):
    for name in ("a.png", "a.bmp", "a.tif", "a.ppm", "a.webp", "a.gif"):
        drawn().save(tmp_path / name, lossless=True)
        assert np.array_equal(pixels(tmp_path / name), np.asarray(drawn())), name


def test_heic_where_the_plugin_is(tmp_path):
    pytest.importorskip("pillow_heif")
    reading._readable()
    drawn(64, 48).save(tmp_path / "a.heic", quality=100)
    assert np.abs(pixels(tmp_path / "a.heic").astype(int) - np.asarray(drawn(64, 48))).mean() < 6


def test_heic_without_the_plugin_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
    monkeypatch.setattr(reading, "_readable", lambda: ("JPEG", "PNG"))
    with pytest.raises(HymtlError, match=r"a\.heic.*hymtl\[heic\]"):
        pixels(tmp_path / "a.heic")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_pictures_of_more_than_enough_pixels_are_scaled_down_as_they_are_read(tmp_path, suffix):
    picture = Image.new("L", (9000, 6000), 200)
    picture.paste(20, (0, 0, 4500, 6000))
    picture.save(tmp_path / f"large.{suffix}")
    found = pixels(tmp_path / f"large.{suffix}")
    assert found.shape == (3000, 4500, 3)
    assert np.abs(found[1500, [10, -10], 0].astype(int) - [20, 200]).max() <= 2


# ---- bombs


def png(width: int, height: int, extra: bytes = b"") -> bytes:
    """A grey PNG that claims a size, with as many zeros as that takes, well compressed; at most 10 MB of them."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = zlib.compress(bytes(min(height * (width + 1), 10_000_000)))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def text(size: int) -> bytes:
    """A compressed text chunk of so many bytes when unpacked."""
    data = b"Comment\0\0" + zlib.compress(bytes(size))
    return struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))


def encoded(kind: str, width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("1" if kind == "TIFF" else "L", (width, height)).save(
        stream, kind, **({"compression": "group4"} if kind == "TIFF" else {})
    )
    return stream.getvalue()


def bombs() -> dict[str, bytes]:
    gif = bytearray(encoded("GIF", 8, 8))
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    frame = bytearray(encoded("GIF", 8, 8))
    at = frame.index(b"\x2c" + struct.pack("<HHHH", 0, 0, 8, 8))
    frame[at + 5 : at + 9] = struct.pack("<HH", 65535, 65535)
    webp = bytearray(encoded("WEBP", 16, 16))
    bmp = bytearray(encoded("BMP", 8, 8))
    bmp[18:26] = struct.pack("<ii", 60000, 60000)
    return {
        "long.png": png(60000, 2),
        "high.png": png(1, 5_000_000),
        "large.png": png(40000, 40000),
        "text.png": png(16, 16, text(70_000_000)),
        "screen.gif": bytes(gif),
        "frame.gif": bytes(frame),
        "cut.webp": bytes(webp[:-20]),
        "claim.bmp": bytes(bmp),
        "fax.tif": encoded("TIFF", 16000, 13000),
        "wide.jpg": encoded("JPEG", 60000, 100),
        "claim.ppm": b"P6 90000 90000 255\n" + bytes(100),
        "empty.jpg": b"",
    }


PEAK = """
import sys
from pathlib import Path
from hymtl.data import reading
from hymtl.errors import HymtlError
from concurrent.futures import ThreadPoolExecutor
def outcome(file):
    try:
        return reading.read(file, lambda picture: "read")
    except HymtlError as error:
        return "refused" if str(file) in str(error) else "unnamed"
files = sorted(Path(sys.argv[1]).iterdir())
with ThreadPoolExecutor(8) as pool:
    outcomes = list(pool.map(outcome, files))
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(outcomes.count("read"), outcomes.count("refused"), int(peak) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's peak memory as Linux tells it")
def test_good_pictures_among_bombs_are_read_in_bounded_memory(tmp_path):
    for number in range(16):
        drawn(640, 480).save(tmp_path / f"{number}.jpg")
    found = bombs()
    for name, content in found.items():
        (tmp_path / name).write_bytes(content)
    done = subprocess.run([sys.executable, "-c", PEAK, tmp_path], capture_output=True, text=True, check=True)
    good, refused, megabytes = map(int, done.stdout.split())
    assert (good, refused) == (16, len(found))
    assert megabytes < 1000, done.stdout


def test_large_pictures_take_turns():
    room, most, inside = reading._Room(), [], []

    def decode():
        with room.take(700_000_000):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=decode) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 6


@pytest.mark.parametrize("content", [b"no picture", b"\xff\xd8\xff\xe0", b"GIF89a", b"II*\0\x08\0\0\0"])
def test_what_is_no_picture_is_named(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(HymtlError, match=r"a\.jpg cannot be read as a picture"):
        pixels(tmp_path / "a.jpg")


def test_a_pipe_and_a_folder_are_refused_at_once(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("pipe.jpg", "."):
        with pytest.raises(HymtlError, match="it is no file"):
            pixels(tmp_path / name)
    with pytest.raises(HymtlError, match=r"lost\.jpg"):
        pixels(tmp_path / "lost.jpg")


def test_cut_files_are_refused_whatever_their_kind(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    for suffix in ("jpg", "png", "webp", "gif", "bmp", "tif", "ppm", "avif", "jp2"):
        file = tmp_path / f"cut.{suffix}"
        noise.save(file)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(HymtlError, match="cut"):
            pixels(file)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "tif", "bmp", "ppm", "avif", "jp2"])
def test_content_in_memory_is_read_like_a_file(tmp_path, suffix):
    drawn(64, 48).save(tmp_path / f"a.{suffix}")
    content = (tmp_path / f"a.{suffix}").read_bytes()
    assert np.array_equal(reading.read_bytes(content, "a", np.asarray), pixels(tmp_path / f"a.{suffix}"))
