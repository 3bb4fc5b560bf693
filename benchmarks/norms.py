"""The same network with weights of another norm, to ask which recipes stand that.

    python benchmarks/norms.py STATE_DICT OUT --by 0.5

Each convolution that a batch norm follows is scaled, and so are the statistics of that norm: in eval mode the network
computes the same but for rounding and the norms' eps. In training without clipping a step of the same rate turns
weights of half the norm four times as far (van Laarhoven, "L2 Regularization versus Batch and Weight Normalization",
2017).
STATE_DICT is of torchvision's resnet18.
"""

import argparse
import itertools
from pathlib import Path

import torch
from torch import nn
from torchvision.models import resnet18


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("state_dict", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--by", type=float, default=0.5)
    options = parser.parse_args()
    network = resnet18()
    network.load_state_dict(torch.load(options.state_dict, map_location="cpu", weights_only=True))
    scale(network, options.by)
    torch.save(network.state_dict(), options.out)


def scale(network: nn.Module, by: float) -> None:
    """In place: every Conv2d that the next module, a BatchNorm2d, follows."""
    with torch.no_grad():
        for convolution, norm in itertools.pairwise(network.modules()):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                convolution.weight *= by
                norm.running_mean *= by
                norm.running_var *= by**2


if __name__ == "__main__":
    main()
