"""ResNet-18 in all but the size of its pictures, which no test that trains it hangs on: a tenth of the time."""

from dataclasses import replace

from hymtl import backbones

_RESNET18 = backbones.get("resnet18")
SMALL = replace(_RESNET18, name="small_resnet18", preprocessing=replace(_RESNET18.preprocessing, size=64))
backbones.every()[SMALL.name] = SMALL
