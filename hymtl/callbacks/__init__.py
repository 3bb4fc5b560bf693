"""Lightning callbacks that hymtl adds to Lightning's own."""

from hymtl.callbacks.best_checkpoint import BestCheckpoint
from hymtl.callbacks.convert import ConvertBest

__all__ = ["BestCheckpoint", "ConvertBest"]
