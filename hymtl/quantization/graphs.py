"""Graphs of operations that a network was exported to, and what is changed in them; none of it knows torchao."""

import copy
import operator

import torch
from torch import nn
from torch.fx import GraphModule, Node

from hymtl.quantization import Picture

_BATCH = {0: torch.export.Dim("batch", min=1, max=65536)}
_BATCH_NORM = torch.ops.aten.batch_norm.default  # (x, weight, bias, mean, var, training, momentum, eps, cudnn)
TRAINING, EPS = 5, 7  # which of its arguments
# torchao draws example tensors; what is random after it (a head, say) must not depend on the quantizer.
keeping_random_state = torch.random.fork_rng(devices=[])


def export(network: nn.Module, picture: Picture) -> torch.export.ExportedProgram:
    """The graph of a network, for pictures (N, *picture) of any N."""
    device = next((parameter.device for parameter in network.parameters()), None)  # a converted graph has none left
    pictures = torch.zeros(2, *picture, device=device)
    # strict=False traces, as the network is Python that traces well, and takes a third of the time.
    return torch.export.export(network, (pictures,), dynamic_shapes=(_BATCH,), strict=False)


def batch_norms(graph: GraphModule) -> list[Node]:
    """The operations that are one, in order; ``TRAINING`` and ``EPS`` are places among their arguments."""
    return [node for node in graph.graph.nodes if node.target is _BATCH_NORM]


def restore_batch_norms(graph: GraphModule, literals: dict[str, tuple]) -> None:
    """Give batch norms their own momentum and eps back, for which torchao 0.18 puts torch's defaults.

    ``literals`` has, by the name of the running mean, the arguments from ``training`` on.
    """
    for node in batch_norms(graph):
        node.args = (*node.args[:TRAINING], *literals[node.args[3].target])
        variance = node.args[4]
        for user in list(variance.users):
            if user.target is torch.ops.aten.add.Tensor:  # of sqrt(var + eps), which scales the weight
                user.args = (variance, node.args[EPS])
    graph.recompile()


@torch.no_grad()
def fold(graph: GraphModule, batch_norm: Node) -> None:
    """Fold a batch norm of QAT into its convolution, for which convert_pt2e takes 20 seconds and the wrong eps.

    What prepare_qat_pt2e made of conv and batch norm is ``batch_norm(conv(x, fake_quant(w * s)) / s)`` with
    ``s = gamma / sqrt(var + eps)``. It becomes ``conv(x, fake_quant(w'), b')`` with ``w' = w * s`` and
    ``b' = beta - mean * s``: the same numbers, as nothing is fake-quantized between the two.
    """
    gamma, beta, mean, variance = (operator.attrgetter(arg.target)(graph) for arg in batch_norm.args[1:5])
    scale = gamma / torch.sqrt(variance + batch_norm.args[EPS])
    convolution = batch_norm.args[0].args[0]
    fake_quant = convolution.args[1]
    weight = fake_quant.args[0].args[0]
    folded = operator.attrgetter(weight.target)(graph) * scale.view(-1, 1, 1, 1)
    owner, _, name = weight.target.rpartition(".")
    setattr(graph.get_submodule(owner), name, nn.Parameter(folded))
    graph.get_submodule(owner).register_parameter("bias", nn.Parameter(beta - mean * scale))
    with graph.graph.inserting_before(convolution):
        bias = graph.graph.get_attr(f"{owner}.bias")
    fake_quant.update_arg(0, weight)
    convolution.args = (*convolution.args[:2], bias, *convolution.args[3:])
    batch_norm.replace_all_uses_with(convolution)
    graph.graph.erase_node(batch_norm)


def drop_unused_tensors(graph: GraphModule) -> None:
    """Of what convert_pt2e leaves behind, float weights above all, keep what the graph reads."""
    used = {node.target for node in graph.graph.nodes if node.op == "get_attr"}
    for name in list(graph.state_dict()):
        if name not in used:
            owner, _, attribute = name.rpartition(".")
            delattr(graph.get_submodule(owner), attribute)


def activation_roundings(graph: GraphModule) -> list[Node]:
    """The nodes that have an activation's scale and zero point as arguments 1 and 2, in order."""
    ops = torch.ops.quantized_decomposed
    kinds = (ops.quantize_per_tensor.default, ops.dequantize_per_tensor.default)
    return [node for node in graph.graph.nodes if node.target in kinds]


@keeping_random_state
def lower(graph: GraphModule, picture: Picture) -> GraphModule:
    """The reference graph as oneDNN's int8 operations, for pictures (N, *picture) of any N.

    These are the steps of torchao's ``lower_pt2e_quantized_to_x86``, which fixes N and leaves ReLU6 apart.
    """
    from torch._inductor.constant_folding import constant_fold
    from torch._inductor.fx_passes.freezing_patterns import freezing_passes

    decompositions = torch.export.default_decompositions()
    composite = {op: rule for op, rule in decompositions.items() if torch._export.utils._is_cia_op(op)}
    lowered = export(graph, picture).run_decompositions(composite).module()
    _split_relu6(lowered)
    freezing_passes(lowered, (torch.zeros(2, *picture),))
    constant_fold(lowered)
    return lowered


def _split_relu6(graph: GraphModule) -> None:
    """hardtanh as two clamps, the form in which Inductor knows to fuse it into an int8 convolution."""
    aten = torch.ops.aten
    for node in list(graph.graph.nodes):
        if node.target in (aten.hardtanh.default, aten.hardtanh_.default):
            x, low, high = node.args
            with graph.graph.inserting_before(node):
                above = graph.graph.call_function(aten.clamp_min.default, (x, low))
                clamped = graph.graph.call_function(aten.clamp_max.default, (above, high))
            above.meta, clamped.meta = dict(node.meta), dict(node.meta)
            node.replace_all_uses_with(clamped)
            graph.graph.erase_node(node)
    graph.recompile()


def unrounded(graph: GraphModule) -> GraphModule:
    """A copy of a reference graph without the rounding of its activations."""
    graph = copy.deepcopy(graph)
    ops = torch.ops.quantized_decomposed
    for node in list(graph.graph.nodes):
        if node.target is ops.dequantize_per_tensor.default and isinstance(node.args[0], Node):
            rounding = node.args[0]
            if rounding.target is ops.quantize_per_tensor.default:
                node.replace_all_uses_with(rounding.args[0])
    _name_last_maps(graph)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _name_last_maps(graph: GraphModule) -> None:
    """Give what goes into the pooling at the end a module, which explanations can look at."""
    pooling = (torch.ops.aten.adaptive_avg_pool2d.default, torch.ops.aten.mean.dim)
    last = [node for node in graph.graph.nodes if node.target in pooling][-1:]
    for node in last:
        graph.add_submodule("last_maps", nn.Identity())
        with graph.graph.inserting_before(node):
            maps = graph.graph.call_module("last_maps", (node.args[0],))
        node.args = (maps, *node.args[1:])


def plain() -> dict:
    """How each rounding operation of a reference graph is made of torch's own, for programs that must load without
    torchao: a table for ``run_decompositions``."""
    from torch.ao.quantization.fx import _decomposed

    ops = torch.ops.quantized_decomposed
    kinds = ("quantize_per_tensor", "dequantize_per_tensor", "quantize_per_channel", "dequantize_per_channel")
    return {getattr(ops, kind).default: getattr(_decomposed, kind) for kind in kinds}
