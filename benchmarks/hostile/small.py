"""Real training made small: a few drawn pictures of 28 pixels, a network of four layers that int8 can take."""

import os
import runpy
import sys
from pathlib import Path

from torch import Tensor, nn

from hymtl import backbones, strategies
from hymtl.backbones import fusing
from hymtl.backbones.backbone import Backbone
from hymtl.data import drawn
from hymtl.preprocessing import Preprocessing

ROOT = Path(__file__).resolve().parents[2]
NAME, FEATURES = "garment_cnn", 16  # under the name of one that conf/ knows
EPOCHS = 4
SETTINGS = [
    f"backbone={NAME}", "backbone.weights=null", "data=folder", f"epochs={EPOCHS}",
    "data.batch_size=6", "optim.lr=0.05", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false",
    "~callbacks.pictures", "logger=csv",
]  # fmt: skip


class Tiny(nn.Sequential):
    """Pictures (N, 3, 28, 28) to features (N, 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.add_module("quant", fusing.QuantStub())
        for number, (before, after) in enumerate(((3, 8), (8, 8), (8, FEATURES), (FEATURES, FEATURES))):
            self.add_module(f"conv{number}", nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False))
            self.add_module(f"bn{number}", nn.BatchNorm2d(after))
            self.add_module(f"relu{number}", nn.ReLU())
        self.add_module("pool", nn.AdaptiveAvgPool2d(1))
        self.add_module("dequant", fusing.DeQuantStub())
        self.add_module("flatten", nn.Flatten())

    def fuse_model(self, is_qat: bool | None = None) -> None:
        for number in range(4):
            fusing.fuse(self, [f"conv{number}", f"bn{number}", f"relu{number}"], is_qat=bool(is_qat))

    def forward(self, batch: Tensor) -> Tensor:
        return super().forward(batch)


def register() -> None:
    """Make the network known to this process, in place of another one."""
    stages = tuple((f"conv{number}", f"bn{number}") for number in range(4))
    known = Preprocessing(size=28)
    backbones.every()[NAME] = Backbone(NAME, FEATURES, Tiny, classifier=(), stages=stages, preprocessing=known)


def pictures(folder: Path) -> Path:
    """Thirty-six drawn ants and bees."""
    return drawn.write(folder, train=24, val=12)


def of_strategy(strategy: str) -> list[str]:
    """The command line of a run, without its folders."""
    return [f"strategy={strategy}", *SETTINGS]


def names() -> list[str]:
    return strategies.names()


def train(*words: str) -> None:
    """``python train.py WORDS``, in this process."""
    os.chdir(ROOT)
    sys.argv = ["train.py", *words]
    runpy.run_path(str(ROOT / "train.py"), run_name="__main__")


def warm_up() -> None:
    """Import what a run needs, so that processes forked from this one find it there."""
    import scipy.stats  # noqa: F401
    import torch.ao.quantization
    import torch.utils.tensorboard  # noqa: F401

    import hymtl.compare.comparison
    import hymtl.serve
    import hymtl.single
    import hymtl.sweep.job
    import hymtl.sweep.preflight  # noqa: F401
