"""int8 quantization by exporting to a graph (PT2E): the only file that knows ``torchao``.

For the day ``torch.ao.quantization`` leaves torch. Where eager mode swaps modules of a network, this one *exports* the
network to a graph of operations, puts observers or fake-quant between them, and converts to a graph of quantize,
dequantize and float operations: the *reference* graph, which runs anywhere and is what gets saved. On x86 it is
*lowered* to oneDNN's int8 kernels at its first call.
"""

import contextlib
import copy
import itertools
import logging
import platform
import types
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from hymtl.errors import HymtlError, check_choice
from hymtl.network import BatchNorms
from hymtl.quantization import PICTURE, Picture, graphs
from hymtl.quantization.eager import calibrate

# onednn: lowered to int8 kernels | reference: the graph as saved, which simulates int8 in float arithmetic.
ENGINES = ("onednn", "reference")
N = TypeVar("N", bound=nn.Module)


def torchao() -> types.SimpleNamespace:
    """What this file takes from torchao, imported when first needed: it is an extra.

    Raises:
        HymtlError: if it is not installed.
    """
    pytree = logging.getLogger("torch.utils._pytree")
    level = pytree.level
    pytree.setLevel(logging.ERROR)  # torchao 0.18 registers its enums in a way that torch 2.15 logs about
    try:
        from torchao.quantization import pt2e
        from torchao.quantization.pt2e import quantize_pt2e
        from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86
    except ModuleNotFoundError as error:
        raise HymtlError(
            f"strategy.quantizer=pt2e needs torchao, which could not be imported ({error}). "
            'Install it: pip install "hymtl[pt2e]", or use strategy.quantizer=eager.'
        ) from error
    finally:
        pytree.setLevel(level)
    return types.SimpleNamespace(pt2e=pt2e, quantize=quantize_pt2e, x86=x86)


def choose_engine(engine: str = "auto") -> str:
    """How int8 runs: ``"onednn"``, ``"reference"`` or, for ``"auto"``, the first that this machine has.

    Raises:
        HymtlError: if torchao is missing, or the engine is none of these or could not be found here.
    """
    torchao()
    if engine == "auto":
        return "onednn" if _has_onednn() else "reference"
    check_choice("With strategy.quantizer=pt2e, strategy.engine", engine, ("auto", *ENGINES))
    if engine == "onednn" and not _has_onednn():
        raise HymtlError("strategy.engine=onednn: pt2e has int8 kernels on x86 only. Use strategy.engine=reference.")
    return engine


def _has_onednn() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64") and torch.backends.mkldnn.is_available()


def overflows(engine: str) -> bool:
    """int8 kernels without VNNI add in 16 bits."""
    return engine == "onednn" and not torch.cpu._is_vnni_supported()


def obstacle(body: nn.Module, picture: Picture) -> str | None:
    """What torch.export can trace is quantized."""
    if picture[0] != 3:
        return f"its pictures are {picture}, and pt2e was tried with three channels alone"
    try:
        graphs.export(body.eval(), picture)
    except Exception as error:  # whatever a network does that cannot be traced, tracing says in its own way
        return f"torch.export cannot trace it ({_first_line(error)})"
    return None


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


class Prepared(nn.Module):
    """An exported backbone with observers or fake-quant in it: pictures (N, *picture), of one size, to features.

    In a graph, whether batch norm trains is an argument of the operation and not a mode of a module. So it is
    set before each call, from the mode of ``batch_norms``, which ``train`` and ``eval`` reach as any other's
    (and Lightning's restoring of modes too, which calls neither).
    """

    def __init__(self, graph: GraphModule) -> None:
        super().__init__()
        self.graph = graph
        self.batch_norms = BatchNorms()

    def forward(self, pictures: Tensor) -> Tensor:
        self._set_batch_norms(self.batch_norms.training)
        return self.graph(pictures)

    def _set_batch_norms(self, training: bool) -> None:
        stale = [node for node in graphs.batch_norms(self.graph) if node.args[graphs.TRAINING] is not training]
        for node in stale:
            node.update_arg(graphs.TRAINING, training)
        if stale:
            self.graph.recompile()


class Int8(nn.Module):
    """A converted backbone, on the CPU: pictures (N, *picture), of one size, to features, float32.

    ``graph`` is the reference graph, whose weights are int8 tensors. The scales and zero points of its
    activations are literals in its code, which a state dict would miss: they are kept in two buffers, from
    which loading a state dict writes them back.

    The first call lowers the graph to int8 kernels if ``lowers``, which takes seconds. The kernels are no part
    of the state dict; what loads one makes them anew.
    """

    activation_scale: Tensor
    activation_zero_point: Tensor
    _kernels: Any

    def __init__(self, graph: GraphModule, *, lowers: bool) -> None:
        super().__init__()
        self.graph, self.lowers = graph, lowers
        nodes = graphs.activation_roundings(graph)
        self.register_buffer("activation_scale", torch.tensor([node.args[1] for node in nodes], dtype=torch.float64))
        self.register_buffer("activation_zero_point", torch.tensor([node.args[2] for node in nodes]))
        self.untrained = False  # made for a state dict to be loaded into: not worth lowering before
        self._forget_kernels()
        self.requires_grad_(False)
        self.register_load_state_dict_post_hook(Int8._loaded)

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        if not self.lowers or self.untrained:
            return self.graph(pictures)
        if self._kernels is None:
            self.__dict__["_kernels"] = graphs.lower(self.graph, pictures.shape[1:])  # not registered as a submodule
        return self._kernels(pictures)

    def _loaded(self, _) -> None:
        literals = zip(self.activation_scale.tolist(), self.activation_zero_point.tolist(), strict=True)
        for node, (scale, zero_point) in zip(graphs.activation_roundings(self.graph), literals, strict=True):
            node.args = (node.args[0], scale, zero_point, *node.args[3:])
        self.graph.recompile()
        self.untrained = False
        self._forget_kernels()

    def _forget_kernels(self) -> None:
        self.__dict__["_kernels"] = None

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_kernels": None}  # packed weights can be neither copied nor pickled


@graphs.keeping_random_state
def prepare_calibration(backbone: nn.Module, engine: str, picture: Picture = PICTURE) -> Prepared:
    """Export a float backbone, fold its batch norms and put observers into the graph."""
    ao, graph = torchao(), graphs.export(backbone.eval(), picture).module()
    config = ao.x86.get_default_x86_inductor_quantization_config(reduce_range=overflows(engine))
    graph = ao.quantize.prepare_pt2e(graph, ao.x86.X86InductorQuantizer().set_global(config))
    return Prepared(_usual_modes(graph)).eval()


@graphs.keeping_random_state
def prepare_qat(
    backbone: nn.Module, engine: str, reduce_range: bool, *, picture: Picture = PICTURE, observe: bool = False
) -> Prepared:
    """Export a float backbone and put fake-quant into the graph, on weights with batch norm folded in.

    Unless ``observe``, observers are left switched off: only :func:`observing` moves a range.
    """
    _lift_zero_scales(backbone)
    # Exported in eval mode, else the graph counts batches in evaluation too.
    ao, graph = torchao(), graphs.export(backbone.eval(), picture).module()
    literals = {node.args[3].target: node.args[graphs.TRAINING :] for node in graphs.batch_norms(graph)}
    config = ao.x86.get_default_x86_inductor_quantization_config(is_qat=True, reduce_range=reduce_range)
    graph = ao.quantize.prepare_qat_pt2e(graph, ao.x86.X86InductorQuantizer().set_global(config))
    graphs.restore_batch_norms(graph, literals)
    if not observe:
        graph.apply(ao.pt2e.disable_observer)
    return Prepared(_usual_modes(graph)).train()


@torch.no_grad()
def _lift_zero_scales(backbone: nn.Module) -> None:
    """The graph divides by each batch norm's scale, which some networks begin with at 0."""
    for module in backbone.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
            module.weight[module.weight == 0] = 1e-3


@contextlib.contextmanager
def observing(network: nn.Module) -> Iterator[None]:
    """Switch the fake-quant observers on inside the block and off again after it."""
    ao = torchao()
    network.apply(ao.pt2e.enable_observer)
    try:
        yield
    finally:
        stop_observing(network)


def stop_observing(network: nn.Module) -> None:
    """Leave every range of a network in QAT where it is from now on."""
    network.apply(torchao().pt2e.disable_observer)


def fused(backbone: nn.Module) -> nn.Module:
    """A float copy, in eval mode. Nothing to fuse: a graph's layers have no names to match a module's."""
    return copy.deepcopy(backbone).cpu().eval()


def as_float(int8: nn.Module, body: nn.Module) -> nn.Module:
    """The reference graph without the rounding of its activations."""
    assert isinstance(int8, Int8)
    return graphs.unrounded(int8.graph)


def still(network: N, *, rounding: bool) -> N:
    """A copy of a network in QAT, in eval mode, that nothing moves, with or without its rounding to int8."""
    copied = copy.deepcopy(network).cpu().eval()
    stop_observing(copied)
    return copied if rounding else copied.apply(torchao().pt2e.disable_fake_quant)


def convert(network: nn.Module, engine: str) -> nn.Module:
    """A copy, on the CPU and in eval mode, with the prepared backbone int8; the network stays as it was."""
    network = copy.deepcopy(network).cpu().eval()
    if isinstance(network, Prepared):
        return _int8(network.graph, engine)
    for name, child in network.named_children():
        if isinstance(child, Prepared):
            setattr(network, name, _int8(child.graph, engine))
    return network


def post_training(backbone: nn.Module, engine: str, batches: Iterable[Tensor]) -> Int8:
    """The int8 backbone of a float one, with ranges calibrated on ``batches``."""
    batches = iter(batches)
    first = next(batches)
    prepared = prepare_calibration(backbone, engine, tuple(first.shape[1:]))
    calibrate(prepared, itertools.chain([first], batches))
    return cast(Int8, convert(prepared, engine))


def untrained_int8(backbone: nn.Module, engine: str, size: int) -> Int8:
    """The int8 architecture of a float backbone, for a state dict to be loaded into."""
    int8 = post_training(backbone, engine, [torch.zeros(1, 3, size, size)])
    int8.untrained = True
    return int8


def _usual_modes(graph: GraphModule) -> GraphModule:
    """Take back that train() and eval() of a prepared graph raise: :class:`Prepared` sees to what they mean."""
    for name in ("train", "eval"):
        graph.__dict__.pop(name, None)
    return graph


@graphs.keeping_random_state
def _int8(graph: GraphModule, engine: str) -> Int8:
    """Convert a prepared graph, in place."""
    for node in graphs.batch_norms(graph):
        graphs.fold(graph, node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    graph = torchao().quantize.convert_pt2e(graph)
    graphs.drop_unused_tensors(graph)
    return Int8(_usual_modes(graph), lowers=engine == "onednn")
