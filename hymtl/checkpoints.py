"""Checkpoints, by way of Lightning: written whole or not at all, read within bounds."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import distributed

from hymtl import fingerprint
from hymtl.errors import HymtlError
from hymtl.files import WriteError, tensors

REASON = 300  # characters of an error in other words than ours
PARTS = {"state_dict": dict, "epoch": int, "global_step": int, "loops": dict, "callbacks": dict}


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's own goes by the temporary folder: a kill between two file systems leaves nothing of the old file."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        file = Path(path)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(file.parent, error) from error
        tensors.save(checkpoint, file)

    def remove_checkpoint(self, path: Any) -> None:
        """That file alone: Lightning's own takes whole folders, and by other protocols than files, as a checkpoint
        from elsewhere may name them."""
        Path(path).unlink(missing_ok=True)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return read(Path(path))


def read(file: Path) -> dict[str, Any]:
    """A checkpoint, on the CPU.

    Raises:
        HymtlError: naming the file, if it is none, or not a whole one.
    """
    checkpoint = tensors.read(file)
    for name, kind in PARTS.items():
        if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get(name), kind):
            raise HymtlError(f"{file} is no checkpoint of a run: it lacks {name}. Give the last.ckpt of a run.")
    return checkpoint


def check(ckpt_path: str | None, hparams: Mapping[str, Any], *, goes_on: bool) -> None:
    """Before a run begins with a checkpoint: it can be read, and is of a run like the one that has these ``hparams``.

    Of a run that ``goes_on`` in its own folder, more epochs may have changed what the rate follows.

    Raises:
        HymtlError: naming the file, and what is wrong, or has changed meanwhile.
    """
    if ckpt_path is None:
        return
    before = read(Path(ckpt_path)).get("hyper_parameters", {})
    instead = f"To begin a new run with its weights: backbone.weights={ckpt_path}."
    began = before.get("sources") or {}
    for name, now in hparams["sources"].items():
        digest = began.get(name, {}).get("digest")
        if digest and digest != now["digest"]:
            raise HymtlError(
                f"{ckpt_path} cannot be gone on with: its {name} has changed since, from {began[name].get('name')} "
                f"with sha256 {digest:.12} to {now['name']} with {now['digest'] or 'none':.12}. Put back what it began "
                f"with. {instead}"
            )
    known = (before.keys() & hparams.keys()) - {"sources"}  # some are younger than some checkpoints
    then, now = ({name: of[name] for name in known} for of in (before, hparams))
    if not goes_on and (differing := fingerprint.differences(then, now)):
        raise HymtlError(
            f"{ckpt_path} cannot be gone on with: its run had other settings, {', '.join(differing)}, and a checkpoint "
            f"brings the whole state of its training along, which would stay what it was. {instead}"
        )


@contextlib.contextmanager
def explained(ckpt_path: str | None) -> Iterator[None]:
    """What a checkpoint brings along may be anything, and fail wherever it is used, up to the record."""
    try:
        yield
    except (HymtlError, OSError):
        raise
    except Exception as error:
        if ckpt_path is None or _of_another_process(error):
            raise
        reason = " ".join(str(error).split())[:REASON].rstrip(".")
        raise HymtlError(
            f"ckpt_path={ckpt_path} does not fit this run: {type(error).__name__}: {reason}. It is of another network, "
            "number of classes or optimizer, or was made by hand: give the last.ckpt of a run with the same settings. "
            "If it is that, HYDRA_FULL_ERROR=1 shows what failed."
        ) from error


def _of_another_process(error: Exception) -> bool:
    """Whether this process waited in vain for another, which failed, was ended or hangs: no checkpoint is to blame.

    Of torch's two libraries for it gloo has no error of its own; its messages name its source files.
    """
    return isinstance(error, distributed.DistError) or "/gloo/" in str(error)
