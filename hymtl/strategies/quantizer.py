"""Which implementation of int8 quantization a strategy uses: two files with the same few functions."""

from types import ModuleType

from hymtl import quantization, quantization_pt2e
from hymtl.errors import check_choice

QUANTIZERS = {"eager": quantization, "pt2e": quantization_pt2e}


def choose_quantizer(quantizer: str) -> ModuleType:
    """The implementation called ``quantizer``: ``"eager"`` (``torch.ao.quantization``) or ``"pt2e"`` (torchao).

    Raises:
        HymtlError: if there is none of that name.
    """
    check_choice("strategy.quantizer", quantizer, QUANTIZERS)
    return QUANTIZERS[quantizer]
