"""Torch's hub cache: where torchvision keeps its weights, so that both share one download."""

from pathlib import Path

import torch

from hymtl.files.download import download


def hub_file(url: str) -> Path:
    """The file of ``url`` in torch's hub cache (``$TORCH_HOME``), downloaded there if it is not yet.

    The name carries the first digits of the file's sha256 (``resnet18-f37072fd.pth``), which a download
    is checked against.

    Raises:
        DownloadError: if it is not there and cannot be downloaded.
    """
    name = url.rsplit("/", 1)[-1]
    digest = Path(name).stem.replace("_", "-").rsplit("-", 1)[-1]
    return download(url, Path(torch.hub.get_dir()) / "checkpoints" / name, digest)
