"""Fonts for names in any script: those of this machine that have the letters, and words for what none of them has."""

import importlib.util
import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from matplotlib import font_manager, rcParams

OWN = "DejaVu Sans"  # matplotlib's, which has Latin, Greek and Cyrillic letters
# Beside it, as found on Linux, Windows or macOS. Fonts of coloured pixels are none that matplotlib can draw.
WANTED = (
    "Noto Sans CJK KR", "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans KR", "NanumGothic", "Malgun Gothic",
    "Apple SD Gothic Neo", "Arial Unicode MS", "Microsoft YaHei", "Yu Gothic", "Hiragino Sans", "WenQuanYi Zen Hei",
    "IPAexGothic", "Noto Sans Arabic", "Noto Sans Devanagari", "Noto Sans Thai", "Noto Emoji", "Segoe UI Emoji",
    "Segoe UI Symbol", "Symbola",
)  # fmt: skip
# Packages with fonts, the extra "fonts": Korean, and Noto's for emoji and a dozen scripts.
PACKAGES = ("koreanize_matplotlib", "manimgx_fonts")


def provide(texts: Iterable[str]) -> None:
    """Have all figures of this process draw these texts too: with matplotlib's own font, others for what that lacks.

    Families that no text needs stay out: each takes matplotlib a search for every word of every figure, and with two
    dozen of them that was half of all drawing.
    """
    needed = {OWN, *rcParams["font.family"], *(_family(letter) for text in texts for letter in text)}
    rcParams["font.family"] = [name for name in _families() if name in needed]


@cache
def _families() -> list[str]:
    """matplotlib's own font, then those of ``WANTED`` that this machine has, each for what those before it lack."""
    packed = _of_packages()
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [OWN, *(name for name in WANTED if name in installed), *sorted(packed - set(WANTED))]


def _of_packages() -> set[str]:
    """Families of ``PACKAGES``, which are not imported, as one makes its font the default."""
    known = len(font_manager.fontManager.ttflist)
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for file in sorted(Path(folder).rglob("*.ttf")):
                font_manager.fontManager.addfont(file)
    return {font.name for font in font_manager.fontManager.ttflist[known:]}


@cache
def legible(text: str) -> str:
    """``text`` with a word in place of each letter that would be an empty box: its sound, or what it shows."""
    return "".join(letter if _family(letter) else _word(letter) for letter in text)


@cache
def _family(letter: str) -> str | None:
    """The first family that has the letter."""
    if ord(letter) < 128:
        return OWN
    return next((name for name, font in _fonts().items() if font.get_char_index(ord(letter))), None)


@cache
def _fonts() -> dict:
    return {name: font_manager.get_font(font_manager.findfont(name)) for name in _families()}


def _word(letter: str) -> str:
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Cf", "Mn"):  # joiners, selectors
        return ""
    name = unicodedata.name(letter, f"U+{ord(letter):04X}")
    if name.startswith(("HANGUL SYLLABLE ", "HIRAGANA LETTER ", "KATAKANA LETTER ")):
        return name.rpartition(" ")[2].lower()
    return f"[{name.removeprefix('CJK UNIFIED IDEOGRAPH-').lower()}]"
