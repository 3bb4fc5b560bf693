"""Strategies: what finetuning, freezing and quantizing each mean, by name."""

from hymtl.errors import HymtlError, did_you_mean
from hymtl.strategies.base import Strategy
from hymtl.strategies.finetune import Finetune
from hymtl.strategies.frozen import Frozen
from hymtl.strategies.gradual import Gradual
from hymtl.strategies.partial import Partial
from hymtl.strategies.ptq import PTQ
from hymtl.strategies.qat import QAT
from hymtl.strategies.quantized import Quantized
from hymtl.strategies.scratch import Scratch

_ALL = (Finetune, Frozen, Quantized, QAT, PTQ, Partial, Gradual, Scratch)
STRATEGIES: dict[str, type[Strategy]] = {strategy.name: strategy for strategy in _ALL}


def create(name: str, **options) -> Strategy:
    """The strategy called ``name`` with the options of its ``conf/strategy/*.yaml``.

    Raises:
        HymtlError: if there is none of that name, or an option is unknown or has a bad value.
    """
    if name not in STRATEGIES:
        raise HymtlError(f"strategy.name={name} is unknown. {did_you_mean(name, STRATEGIES)}")
    known = STRATEGIES[name].__dataclass_fields__
    for option in options:
        if option not in known:
            raise HymtlError(f"strategy.{option} is no option of {name}. {did_you_mean(option, known)}")
    return STRATEGIES[name](**options)


__all__ = ["STRATEGIES", "Strategy", "create"]
