"""Batch norm folded into convolutions: what a fixed network gives, in fewer steps."""

import pytest
import torch
from torch import nn

from hymtl import backbones
from hymtl.features.folding import folded
from hymtl.identity import identity


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0", "mobilenet_v3_large", "shufflenet_v2_x1_0"])
def test_a_folded_network_gives_the_same_without_batch_norm_and_the_network_stays_as_it_was(name):
    torch.manual_seed(0)
    body = backbones.get(name).build()
    body.train()(torch.randn(4, 3, 64, 64))  # statistics that are not those of a new network
    before = identity(body.eval())
    quick = folded(body)
    pictures = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = body(pictures)
        assert torch.allclose(quick(pictures), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    assert any(isinstance(module, nn.BatchNorm2d) for module in body.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in quick.modules())
    assert identity(body) == before


def test_a_network_that_cannot_be_traced_is_used_as_it_is():
    class Curious(nn.Module):
        def forward(self, pictures):
            return pictures.mean(dim=(2, 3)) if pictures.sum() > 0 else pictures.amax(dim=(2, 3))

    network = Curious().eval()
    assert folded(network) is network
