"""Which network it is."""

import torch

from hymtl import backbones, strategies
from hymtl.backbones.pretrained import Pretrained
from hymtl.identity import identity
from hymtl.quantization import eager


def test_a_first_part_is_told_by_its_own_weights_alone():
    def told(stages=1, **changed):
        torch.manual_seed(0)
        chosen = strategies.create("partial", stages=stages)
        network = chosen.transfer(Pretrained(backbones.get("efficientnet_lite0"), "random", None), 2, [])
        with torch.no_grad():
            for name, change in changed.items():
                network.backbone.get_submodule(name).conv.weight[0] += change
        return identity(chosen.fixed_backbone(network))

    assert told() == told() == told(head=1e-3)
    assert told() != told(stem=1e-3) and told() != told(stages=2)


def test_an_int8_backbone_is_told_by_its_scales():
    def told(brightness):
        torch.manual_seed(0)
        body = backbones.get("efficientnet_lite0").build()
        return identity(eager.post_training(body, "onednn", [brightness * torch.ones(2, 3, 32, 32)]))

    assert told(1.0) == told(1.0) != told(1.1)
