"""Checkpoints, by way of Lightning: written whole or not at all, read within bounds."""

from pathlib import Path
from typing import Any

from pytorch_lightning.plugins.io import TorchCheckpointIO

from hymtl.errors import HymtlError
from hymtl.files import WriteError, tensors

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
