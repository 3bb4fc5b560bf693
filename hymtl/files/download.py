"""Fetch one file over HTTP(S): checked by digest, resumed after a cut, in place only when whole."""

import hashlib
import http.client
import queue
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

from hymtl.errors import HymtlError
from hymtl.files import locked, put_in_place

TRIES = 3  # requests per call, as long as each one ends in a cut
CHUNK = 1 << 16  # bytes


class DownloadError(HymtlError):
    """A file could not be fetched, or is not the file that was asked for."""


class _Network(Exception):
    """The cause of a failed download, in one line."""


class _Cut(_Network):
    """The body ended early: worth another request."""


def download(url: str, path: Path, sha256: str, *, timeout: float = 10.0) -> Path:
    """Fetch ``url`` to ``path`` and return ``path``; a file that is already there is trusted as it is.

    ``sha256`` is the hex digest or its first 8 digits or more. ``timeout``, in seconds, bounds the wait
    for the answer (name look-up included) and, after it, for each piece of the body. A download that
    fails or is killed leaves ``path + ".part"``, from which the next call goes on.

    Raises ``DownloadError`` for a network failure or a wrong digest, ``OSError`` if the disk refuses.
    """
    if path.exists():
        return path
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"cannot download '{url}': only http:// and https:// addresses are supported.")
    if not re.fullmatch("[0-9a-fA-F]{8,64}", sha256):
        raise DownloadError(f"cannot check {url}: '{sha256}' is not a SHA-256 of 8 to 64 hex digits.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        if path.exists():  # another process brought it while this one waited
            return path
        try:
            part = _checked_part(url, path.with_name(path.name + ".part"), sha256.lower(), timeout)
        except _Network as err:
            raise DownloadError(
                f"could not download {url}: {err}. Try again, or put the file at {path} yourself."
            ) from err
        put_in_place(part, path)
    return path


def _checked_part(url: str, part: Path, sha256: str, timeout: float) -> Path:
    """Complete ``part`` and check its digest; one left by an earlier call gets a second, clean chance."""
    inherited = part.exists()
    _complete(url, part, timeout)
    got = _digest(part)
    if got.startswith(sha256):
        return part
    part.unlink()
    if inherited:  # the old bytes may be at fault rather than the server
        return _checked_part(url, part, sha256, timeout)
    raise DownloadError(
        f"{url} has SHA-256 {got}, expected {sha256}; the download was deleted. "
        "Run again; if this repeats, a proxy or the server changed the file: try another network or mirror."
    )


def _complete(url: str, part: Path, timeout: float) -> None:
    for tries_left in reversed(range(TRIES)):
        try:
            return _append(url, part, timeout)
        except _Cut:
            if not tries_left:
                raise


def _append(url: str, part: Path, timeout: float) -> None:
    """Ask for the bytes that ``part`` lacks and append them (or all bytes, if the server cannot resume)."""
    start = part.stat().st_size if part.exists() else 0
    response = _answer(url, start, timeout)
    if response is None:  # nothing after these bytes: the digest will tell whether they are all
        return
    have = start if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
    total = None if response.length is None else have + response.length
    with (
        response,
        open(part, "ab" if have else "wb") as out,
        tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, disable=None) as bar,
    ):
        for data in _pieces(response):
            out.write(data)
            bar.update(len(data))


def _answer(url: str, start: int, timeout: float) -> http.client.HTTPResponse | None:
    """The response to a request for the bytes from ``start``; None if the server has none there.

    Asked from a thread, because urllib bounds neither the name look-up nor a long list of addresses.
    """
    headers = {"User-Agent": f"hymtl/{version('hymtl')}"} | ({"Range": f"bytes={start}-"} if start else {})
    answers: queue.SimpleQueue = queue.SimpleQueue()

    def ask() -> None:
        try:
            opener = urllib.request.build_opener()  # not urlopen, which keeps the first proxies it saw
            answers.put(opener.open(urllib.request.Request(url, headers=headers), timeout=timeout))
        except Exception as err:
            answers.put(err)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=timeout)
    except queue.Empty:
        raise _Network(f"no answer within {timeout:g} s") from None
    if isinstance(answer, urllib.error.HTTPError):
        answer.close()
        if start and answer.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None
    if isinstance(answer, Exception):
        raise _Network(_one_line(answer)) from answer
    return answer


def _pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body as it arrives."""
    try:
        while data := response.read1(CHUNK):
            yield data
    except TimeoutError as err:  # not a cut: a server that went silent would keep us waiting again
        raise _Network("the server went silent midway; the next run resumes") from err
    except (OSError, http.client.HTTPException) as err:
        raise _Cut(f"connection cut midway ({_one_line(err)}); the next run resumes") from err
    if response.length:
        raise _Cut(f"connection cut {response.length} bytes early; the next run resumes")


def _one_line(cause: object) -> str:
    if type(cause) is urllib.error.URLError:
        cause = cause.reason  # without "<urlopen error ...>" around it
    return " ".join(str(cause).split()) or type(cause).__name__


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
