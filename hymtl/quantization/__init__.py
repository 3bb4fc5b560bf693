"""int8 quantization: what a quantizer is, and the choice of one.

A quantizer is a file of this folder with the functions of :class:`Quantizer`. Words are the field's own: *observers*
watch the ranges of activations and weights during *calibration*; *fake-quant* rounds to int8 and back during
training; *converting* makes the int8 network; an *engine* is the library of kernels that runs it.

Nothing here knows a config, data or Lightning, and nothing outside it (but the stubs and fusing that networks are built
with) knows ``torch.ao.quantization`` or torchao, so that the day either leaves, this folder is what changes.
"""

import contextlib
import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, cast, get_args

from torch import Tensor, nn

from hymtl.errors import HymtlError, check_choice

Picture = tuple[int, ...]  # channels, height and width of what a network sees
PICTURE = (3, 224, 224)  # of most
# auto tries the others in this order; the other files of this folder are parts of these.
QuantizerName = Literal["auto", "eager", "pt2e"]
_, *QUANTIZERS = get_args(QuantizerName)
N = TypeVar("N", bound=nn.Module)


class Quantizer(Protocol):
    """One implementation of int8 quantization; shapes: N pictures, C channels, H and W pixels, F features."""

    def obstacle(self, body: nn.Module, picture: Picture) -> str | None:
        """What keeps it from quantizing a float backbone that sees pictures (C, H, W), in words; None if nothing."""

    def choose_engine(self, engine: str = "auto") -> str:
        """The engine itself, or the best of this machine for ``"auto"``; a ``HymtlError`` where it has none such."""

    def overflows(self, engine: str) -> bool:
        """Whether the engine's sums overflow here unless activations keep to 7 bits."""

    def post_training(self, body: nn.Module, engine: str, batches: Iterable[Tensor]) -> nn.Module:
        """The int8 backbone of a float one, which is taken apart, calibrated on pictures (N, C, H, W)."""

    def untrained_int8(self, body: nn.Module, engine: str, size: int) -> nn.Module:
        """The int8 architecture of a float backbone for pictures of ``size`` pixels, to load a state dict into."""

    def prepare_qat(
        self, body: nn.Module, engine: str, reduce_range: bool, *, picture: Picture = PICTURE, observe: bool = False
    ) -> nn.Module:
        """A float backbone for pictures (C, H, W) with fake-quant in it.

        Unless ``observe``, only :meth:`observing` moves a range.
        """

    def observing(self, network: nn.Module) -> contextlib.AbstractContextManager[None]:
        """Observers are on inside the block, and nowhere else."""

    def stop_observing(self, network: nn.Module) -> None:
        """Leave every range where it is from now on."""

    def convert(self, network: nn.Module, engine: str) -> nn.Module:
        """An int8 copy, on the CPU and in eval mode, of a prepared network, which itself stays as it was."""

    def fused(self, body: nn.Module) -> nn.Module:
        """A float copy of a backbone, in eval mode, whose layers have the names of its int8 version's."""

    def as_float(self, int8: nn.Module, body: nn.Module) -> nn.Module:
        """The float backbone that an int8 one rounds, in eval mode, made of its weights as they were rounded; gradients
        pass through it. ``body`` is a float backbone of the same architecture."""

    def still(self, network: N, *, rounding: bool) -> N:
        """A copy of a network in QAT, in eval mode, that nothing moves, with or without its rounding to int8."""


def choose(name: str) -> Quantizer:
    """The quantizer called ``name``: ``"eager"`` (``torch.ao.quantization``) or ``"pt2e"`` (torchao).

    Raises:
        HymtlError: if there is none of that name.
    """
    check_choice("strategy.quantizer", name, get_args(QuantizerName))
    if name == "auto":
        raise HymtlError("strategy.quantizer=auto hangs on the backbone: Strategy.check settles it.")
    return cast(Quantizer, importlib.import_module(f"hymtl.quantization.{name}"))


def choose_reduce_range(reduce_range: bool | str, quantizer: Quantizer, engine: str) -> bool:
    """Whether activations keep to 7 bits; ``"auto"``: only where sums overflow otherwise.

    Raises:
        HymtlError: for anything but True, False and ``"auto"``.
    """
    if reduce_range == "auto":
        return quantizer.overflows(engine)
    if not isinstance(reduce_range, bool):
        raise HymtlError(f"strategy.reduce_range={reduce_range}: expected true, false or auto.")
    return reduce_range


if TYPE_CHECKING:  # the type checker holds both files to the protocol
    from hymtl.quantization import eager, pt2e

    _implementations: tuple[Quantizer, ...] = (eager, pt2e)
