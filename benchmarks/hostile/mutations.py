"""Bytes and nested values with something changed, from a random source that a seed makes."""

import copy
import random
from typing import Any

TEXTS = ["", "x" * 1000, "\x1b]0;owned\x07", "\u202e\x9b31m", "../../../etc/passwd", "2", "null", "a\nb", "\ud800"]
NUMBERS = [-1, 0, 1, -0.5, 1.5, 10**9, 10**30, 2**63, 1e308, float("nan"), float("inf"), True]
OTHERS: list[Any] = [None, [], {}, [[]], {"a": {"b": []}}, [None, "x", 1]]


def nested(depth: int) -> Any:
    """Lists in lists, as far as parsers that recurse may not follow."""
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def value(chance: random.Random) -> Any:
    """Anything that may stand where something else should."""
    return copy.copy(chance.choice([*TEXTS, *NUMBERS, *OTHERS, nested(40)]))


def tree(content: Any, chance: random.Random) -> Any:
    """Nested dicts and lists, some of whose parts are replaced, left out, doubled or renamed."""
    content = copy.deepcopy(content)
    for _ in range(chance.randint(1, 3)):
        place = _place(content, chance)
        if place is None:
            return value(chance)
        _change(*place, chance)
    return content


def _place(content: Any, chance: random.Random) -> tuple[Any, Any] | None:
    """A container somewhere inside, and a key of it."""
    node, key = content, None
    while isinstance(node, dict | list) and node:
        parent, key = node, chance.choice(list(node)) if isinstance(node, dict) else chance.randrange(len(node))
        if not isinstance(parent[key], dict | list) or not parent[key] or chance.random() < 0.25:
            return parent, key
        node = parent[key]
    return None


def _change(node: Any, key: Any, chance: random.Random) -> None:
    what = chance.random()
    if what < 0.15:
        del node[key]
    elif what < 0.25 and isinstance(node, list):
        node.extend(node * chance.choice([1, 1, 1000]) if len(node) < 100 else [])
    elif what < 0.25:
        node[chance.choice(["other", "\x1b[2J", ""])] = node.pop(key)
    elif what < 0.4 and isinstance(node[key], int | float):
        node[key] = chance.choice([-1, 10, 1e9]) * node[key]
    else:
        node[key] = value(chance)


def data(content: bytes, chance: random.Random) -> bytes:
    """Bytes, some of them flipped, cut off, put in, doubled or overwritten."""
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        if not changed:
            break
        start = chance.randrange(len(changed)) if chance.random() < 0.5 else chance.randrange(min(64, len(changed)))
        stop = start + chance.choice([1, 1, 2, 4, 50, 1000])
        what = chance.random()
        if what < 0.4:
            changed[start] ^= 1 << chance.randrange(8)
        elif what < 0.6:
            changed[start : start + 4] = chance.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\n"])
        elif what < 0.7:
            del changed[start:stop]
        elif what < 0.8:
            del changed[start:]
        elif what < 0.9:
            changed[start:start] = chance.randbytes(chance.choice([1, 4, 100]))
        else:
            changed[start:start] = changed[start:stop]
    return bytes(changed)
