"""The hymenoptera photos (ants and bees): where they are kept, and how they get there."""

import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path

from torchvision.datasets.folder import IMG_EXTENSIONS

from hymtl.data.photos import PhotoFolder, read_folder
from hymtl.errors import HymtlError
from hymtl.files import home, locked, put_in_place
from hymtl.files.download import download

URL = "https://download.pytorch.org/tutorial/hymenoptera_data.zip"
SHA256 = "fbc41b31d544714d18dd1230b1e2b455e1557766e13e67f9f5a7a23af7c02209"
FOLDER = "hymenoptera_data"
LAYOUT = ("train/ants", "train/bees", "val/ants", "val/bees")
MAX_UNPACKED = 1 << 30  # bytes; the photos take 48 MB, so more than this is no set of photos


def find(root: Path | None) -> PhotoFolder:
    """The photos in ``root``, else in :func:`hymtl.files.home`, else downloaded to there."""
    located = locate(root)
    if located is None and root is not None:
        raise HymtlError(
            f"data.root={root} does not hold the hymenoptera photos (train/ants, train/bees, val/ants, val/bees). "
            "Remedies: correct data.root, leave it out to have them downloaded, or data=drawn."
        )
    try:
        # As ImageFolder lists them: the archive has a stray imageNotFound.gif, and GIF is a kind that is read.
        return read_folder(located or fetch(), "hymenoptera", IMG_EXTENSIONS)
    except HymtlError as error:
        raise HymtlError(
            f"The hymenoptera photos could not be found: {error} Remedies: data.root=/path/to/hymenoptera_data, "
            "$HYMTL_HOME set to the folder that holds hymenoptera_data/, or data=drawn (pictures drawn by hymtl)."
        ) from error


def locate(root: Path | None = None) -> Path | None:
    """The folder that holds ``train/`` and ``val/``, each with ``ants`` and ``bees``; None if there is none.

    Looks at ``root`` and ``root/hymenoptera_data``, or without a root at ``home()/hymenoptera_data``.
    """
    places = (home() / FOLDER,) if root is None else (root, root / FOLDER)
    return next((place for place in places if _laid_out(place)), None)


def fetch(into: Path | None = None, url: str | None = None, sha256: str | None = None) -> Path:
    """Download and unpack the photos to ``into/hymenoptera_data``, unless there already; returns that folder.

    ``into`` is ``home()`` by default. A mirror is set by ``url`` and ``sha256`` (of the zip), or by
    ``$HYMTL_HYMENOPTERA_URL`` and ``$HYMTL_HYMENOPTERA_SHA256``. The folder appears in one step: it is
    whole or not there.

    Raises ``HymtlError`` for a failed download (``DownloadError``), a zip that is corrupt, unsafe or of
    another layout, and a folder that cannot be written to.
    """
    into = home() if into is None else into
    url = url or os.environ.get("HYMTL_HYMENOPTERA_URL") or URL
    sha256 = sha256 or os.environ.get("HYMTL_HYMENOPTERA_SHA256") or SHA256
    photos = into / FOLDER
    if _laid_out(photos):
        return photos
    try:
        into.mkdir(parents=True, exist_ok=True)
        with locked(photos):
            if not _laid_out(photos):  # else another process put them there while this one waited
                _fill(photos, url, sha256)
    except OSError as err:
        raise HymtlError(
            f"cannot keep the photos in {into}: {err}. Set $HYMTL_HOME to a folder with room to write."
        ) from err
    return photos


def _laid_out(place: Path) -> bool:
    return all(os.path.isdir(place / folder) for folder in LAYOUT)


def _fill(photos: Path, url: str, sha256: str) -> None:
    if photos.exists():
        raise HymtlError(f"{photos} exists but lacks one of {', '.join(LAYOUT)}: move it away and run again.")
    for stale in photos.parent.glob(f"{FOLDER}.*.tmp"):  # no one's, under the lock: a killed process left it
        shutil.rmtree(stale)
    # The digest in the name keeps a zip left by a killed process apart from that of another mirror.
    zip_path = download(url, photos.parent / f"{FOLDER}-{sha256[:8].lower()}.zip", sha256)
    try:
        _unpack(zip_path, photos)
    except HymtlError:
        zip_path.unlink()  # it would only fail again
        raise
    zip_path.unlink()


def _unpack(zip_path: Path, photos: Path) -> None:
    """Unpack into a temporary sibling, then rename: ``photos`` never holds a part of the pictures."""
    try:
        with zipfile.ZipFile(zip_path) as archive:
            _refuse_unsafe(archive)
            with tempfile.TemporaryDirectory(prefix=f"{FOLDER}.", suffix=".tmp", dir=photos.parent) as folder:
                archive.extractall(folder)
                if not _laid_out(Path(folder, FOLDER)):
                    lacking = ", ".join(LAYOUT)
                    raise HymtlError(f"{zip_path} lacks one of {lacking} below {FOLDER}/: use another zip.")
                put_in_place(Path(folder, FOLDER), photos)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as err:
        raise HymtlError(f"{zip_path} is no readable zip ({err}): run again or use another.") from err


def _refuse_unsafe(archive: zipfile.ZipFile) -> None:
    for member in archive.infolist():
        name = member.filename.replace("\\", "/")
        kind = stat.S_IFMT(member.external_attr >> 16)  # 0 when the zip was made on Windows
        leaves = name.startswith("/") or ".." in name.split("/") or re.match("[A-Za-z]:", name)
        if leaves or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise HymtlError(
                f"{archive.filename} holds '{member.filename}', a link or a path outside its folder: "
                "nothing was unpacked, use another zip."
            )
    # zipfile never writes more for a member than it declares, so the sum cannot be understated.
    size = sum(member.file_size for member in archive.infolist())
    if size > MAX_UNPACKED:
        raise HymtlError(f"{archive.filename} unpacks to {size} bytes, over {MAX_UNPACKED}: use another zip.")
