"""Batch norm folded into the convolution before it: a network that stays as it is gives the same, in less time."""

from torch import fx, nn
from torch.fx.experimental import optimization


def folded(network: nn.Module) -> nn.Module:
    """A copy of a network in eval mode that does not go over what a convolution gave once more, to normalize it.

    What it gives differs by rounding. A network that torch.fx cannot follow comes back itself.
    """
    try:
        graph = _Tracer().trace(network)
    except Exception:  # networks may do what a tracer cannot follow, and each fails in its own way
        return network
    return optimization.fuse(fx.GraphModule(network, graph), no_trace=True)


class _Tracer(fx.Tracer):
    """Looks into no module without a convolution in it."""

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return not any(isinstance(part, nn.Conv2d) for part in list(module.modules())[1:])
