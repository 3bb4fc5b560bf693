"""A run's folder: whether it can be written to, and what of an earlier run must go before another begins in it."""

import os
import sys
from pathlib import Path

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from hymtl.errors import HymtlError
from hymtl.files import WriteError, clear_leftovers, write_whole
from hymtl.records import predictions, result

CHECKPOINTS = "checkpoints"
PARTS = (CHECKPOINTS, "artifact", "pictures")
WRITTEN = (*PARTS, ".hydra", "train", "val")  # the last two by TensorBoard; other loggers have links of their own
EVENTS = "events.out.tfevents.*"
CURVES = (EVENTS, f"train/{EVENTS}", f"val/{EVENTS}")  # files alone: a folder train/ may be anyone's
ROOM = 2**17  # bytes that any run writes


class CheckFolder(Callback):
    """A Hydra callback: Hydra itself would end in a traceback where it cannot write."""

    def on_run_start(self, config: DictConfig, **kwargs: object) -> None:
        _exit_unless_writable(Path(config.hydra.run.dir))

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        _exit_unless_writable(Path(config.hydra.sweep.dir))


def _exit_unless_writable(folder: Path) -> None:
    try:
        check(folder)
    except HymtlError as error:
        print(error, file=sys.stderr)
        sys.exit(1)  # Hydra would turn any other exception of a callback into a warning


def check(folder: Path) -> None:
    """Make the folder of a run, with room for what any run writes.

    Raises:
        HymtlError: naming it, if it cannot be written to or leads elsewhere.
    """
    for link in (entry.path for part in ("", *WRITTEN) for entry in _entries(folder / part) if entry.is_symlink()):
        raise HymtlError(f"{link} is a symbolic link, and a run writes nothing through one. Remove it.")
    probe = folder / "room"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(probe, b"0" * ROOM)
        probe.unlink(missing_ok=True)  # of several processes each looks
    except OSError as error:
        raise WriteError(folder, error) from error


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        return list(os.scandir(folder))
    except OSError:  # not there yet, or nobody's to read: writing will say so
        return []


def begin(folder: Path, ckpt_path: str | None) -> None:
    """Before training: no record, checkpoint or curve of an earlier run may be taken for one of the run that begins.

    Of one that goes on, its checkpoints and curves stay.
    """
    clear_leftovers(folder, *(folder / part for part in PARTS))
    (folder / result.FILE).unlink(missing_ok=True)
    (folder / predictions.FILE).unlink(missing_ok=True)
    if not goes_on(folder, ckpt_path):
        for name in ("last.ckpt", "best.ckpt"):
            (folder / CHECKPOINTS / name).unlink(missing_ok=True)
        for file in (file for pattern in CURVES for file in folder.glob(pattern)):
            file.unlink(missing_ok=True)


def goes_on(folder: Path, ckpt_path: str | None) -> bool:
    """Whether the run to come is the one that left the checkpoint."""
    return ckpt_path is not None and Path(ckpt_path).absolute().parent == (folder / CHECKPOINTS).absolute()
