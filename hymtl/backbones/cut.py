"""A backbone cut in two: what comes before one of its modules, and what goes on from there."""

import math

import torch
from torch import fx, nn


class _Tracer(fx.Tracer):
    """Looks into no module but those that contain the one called ``name``."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return not self.name.startswith(f"{qualified_name}.")


def before(body: nn.Module, name: str) -> nn.Module:
    """Pictures to the activations that ``body`` feeds its module called ``name``; of the modules of ``body`` itself."""
    part, border = _traced(body, name)
    part.graph.output_node().args = border.args
    return _without_the_rest(part)


def onwards(body: nn.Module, name: str) -> nn.Module:
    """Those activations to what ``body`` gives in the end; of the modules of ``body`` itself.

    All that ``body`` makes of its input must pass through that module, which must have one argument.
    """
    part, border = _traced(body, name)
    border.args = (next(iter(part.graph.nodes)),)
    return _without_the_rest(part)


@torch.no_grad()
def holds(body: nn.Module, name: str, picture: tuple[int, ...]) -> bool:
    """Whether the two parts, one after the other, give what ``body``, in eval mode, gives of a picture (C, H, W).

    Networks may do what a tracer cannot follow, or use later on what they had before the cut.
    """
    ramp = torch.linspace(-1, 1, math.prod(picture)).view(1, *picture)  # nothing random: a run must not notice
    try:
        parts = onwards(body, name)(before(body, name)(ramp))
    except Exception:  # of the tracer, or of whatever the network makes of a wrong input
        return False
    return torch.allclose(parts, body(ramp), rtol=1e-4, atol=1e-5)


def _traced(body: nn.Module, name: str) -> tuple[fx.GraphModule, fx.Node]:
    part = fx.GraphModule(body, _Tracer(name).trace(body))
    return part, next(node for node in part.graph.nodes if node.target == name)


def _without_the_rest(part: fx.GraphModule) -> fx.GraphModule:
    part.graph.eliminate_dead_code()
    part.delete_all_unused_submodules()
    part.recompile()
    return part
