"""Lightning callbacks that hymtl adds to Lightning's own."""

from hymtl.callbacks.best_checkpoint import BestCheckpoint
from hymtl.callbacks.convert import ConvertBest
from hymtl.callbacks.fixed_features import FixedFeatures
from hymtl.callbacks.pictures import Pictures
from hymtl.callbacks.random_state import RandomState

__all__ = ["BestCheckpoint", "ConvertBest", "FixedFeatures", "Pictures", "RandomState"]
