"""Backbones: pretrained networks without their classifier, by name."""

import functools

from hymtl import registry
from hymtl.backbones import families
from hymtl.backbones.backbone import Backbone
from hymtl.errors import check_choice


@functools.cache
def every() -> dict[str, Backbone]:
    """All backbones of all families, by name."""
    files = [registry.load(families, "family", name) for name in registry.names(families)]
    return {backbone.name: backbone for file in files for backbone in file.BACKBONES}


def get(name: str) -> Backbone:
    """The backbone called ``name``: one of :func:`every`, or ``FAMILY/MODEL`` of a family that is too large to list.

    Raises:
        HymtlError: if there is none of that name.
    """
    family, _, model = name.partition("/")
    if model and (find := getattr(registry.load(families, "backbone.name", family), "named", None)):
        return find(model)
    check_choice("backbone.name", name, every())
    return every()[name]
