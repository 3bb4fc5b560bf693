"""Backbones: pretrained networks without their classifier, by name."""

from hymtl.backbones.pretrained import Pretrained, find
from hymtl.backbones.registry import BACKBONES, Backbone, Preprocessing, get

__all__ = ["BACKBONES", "Backbone", "Preprocessing", "Pretrained", "find", "get"]
