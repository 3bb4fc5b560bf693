"""Data: pictures found, downloaded or drawn, and the LightningDataModule over them."""

from hymtl.data.datamodule import PhotoDataModule
from hymtl.data.find import find_photos
from hymtl.data.photos import PhotoFolder
from hymtl.data.splits import arrange

__all__ = ["PhotoDataModule", "PhotoFolder", "arrange", "find_photos"]
