"""The photos that a run was validated on, found again for checking what came of it."""

from pathlib import Path

from hymtl import records
from hymtl.data.photos import is_picture
from hymtl.errors import HymtlError
from hymtl.records import predictions, result


def photos(run: Path, folder: Path | None = None) -> list[Path]:
    """The pictures below ``folder``, or without one those that the run's records name.

    Raises:
        HymtlError: if there are none there.
    """
    if folder:
        if not folder.is_dir():
            raise HymtlError(f"--photos {folder}: there is no such folder.")
        found = sorted(file for file in folder.rglob("*") if is_picture(file))
        if not found:
            raise HymtlError(f"--photos {folder}: there are no pictures in it.")
        return found
    if not (run / result.FILE).is_file():
        raise HymtlError(f"{run} has no {result.FILE} that names its validation photos. Give some with --photos DIR.")
    root = Path(records.read(result.Result, run / result.FILE).dataset.root or "")
    recorded = [(row.photo, predictions.picture(root, row.photo)) for row in predictions.read(run / predictions.FILE)]
    if missing := [name for name, file in recorded if file is None]:
        raise HymtlError(
            f"{root / missing[0]}, on which {run} was validated, could not be found in that folder. Give pictures with "
            "--photos DIR."
        )
    return [file for _, file in recorded if file]
