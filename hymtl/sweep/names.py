"""What the folders of a sweep's jobs are called, which TensorBoard lists: first of all what differs between them."""

import hashlib
import os
from collections.abc import Sequence

from hydra.core.override_parser.types import Override

from hymtl.choose import jobs
from hymtl.errors import HymtlError
from hymtl.settings.overrides import Overrides

LONGEST = 200  # bytes; file systems take 255 of a name, and loggers add to it
DRAWN = 24  # what a search may draw, in digits and more


def words(given: Sequence[str], overrides: Overrides) -> list[str]:
    """The settings of Hydra's that name the jobs of the sweep that was asked for with ``given``.

    Where names would be longer than a file system takes, a digest stands for what all jobs have in common.

    Raises:
        HymtlError: if what differs between them is too long by itself.
    """
    parsed = overrides.parse(given)
    hydra = overrides.unswept(given).hydra
    if hydra.sweeper._target_ == jobs.SWEEPER or any(word.key_or_group == "hydra.sweep.subdir" for word in parsed):
        return []
    left_out = list(hydra.job.config.override_dirname.exclude_keys)
    varied = [word for word in parsed if word.is_sweep_override() and word.key_or_group not in left_out]
    named = [word.key_or_group for word in varied if word.is_discrete_sweep()]
    common = [word for word in parsed if not (word.is_sweep_override() or _unnamed(word, left_out))]
    fits = _bytes(hydra.job.override_dirname) + sum(map(_longest, varied)) <= LONGEST
    if fits and not named:
        return []
    choices = hydra.runtime.choices
    first = [f"{key}=${{{f'hydra.runtime.choices.{key}' if key in choices else key}}}" for key in named]
    if not fits:
        _check(varied)
        first.append("of-" + hashlib.sha256("\0".join(sorted(map(_text, common))).encode()).hexdigest()[:8])
    rest = len(named) < len(varied) or (common and fits)
    subdir = ",".join([*first, *(["${hydra.job.override_dirname}"] if rest else [])])
    keys = [*left_out, *named, *([word.key_or_group for word in common] if not fits else [])]
    return [f"hydra.sweep.subdir='{subdir}'", f"hydra.job.config.override_dirname.exclude_keys=[{','.join(keys)}]"]


def _check(varied: Sequence[Override]) -> None:
    if sum(map(_longest, varied)) > LONGEST:
        raise HymtlError(
            f"What differs between the jobs ({', '.join(word.key_or_group for word in varied)}) is too long for the "
            "name of a folder. Give hydra.sweep.subdir='${hydra.job.num}'."
        )


def _unnamed(word: Override, left_out: Sequence[str]) -> bool:
    return word.key_or_group in left_out or word.key_or_group.startswith(("hydra.", "hydra/"))


def _longest(word: Override) -> int:
    """Bytes that a word which varies adds to a name."""
    values = word.sweep_string_iterator() if word.is_discrete_sweep() else ["0" * DRAWN]
    return max(_bytes(f",{word.get_key_element()}={value}") for value in values)


def _text(word: Override) -> str:
    return word.input_line or ""


def _bytes(text: str) -> int:
    return len(os.fsencode(text))
