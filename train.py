"""Run one experiment, or with -m a sweep of them: `python train.py --help`."""

from hymtl import signals

if __name__ == "__main__":
    signals.handle("the same command, as nothing is saved yet")  # before what takes a while to import

import sys
from pathlib import Path

from hymtl.cli.train import train

if __name__ == "__main__":
    train(sys.argv[1:], Path(__file__).parent / "conf")
