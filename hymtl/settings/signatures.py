"""What a class or function takes, read from its source: importing torch to ask would take seconds."""

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

_PLAIN = {"int": int, "float": float, "bool": bool, "str": str, "Path": str, "None": type(None)}
_CONTAINERS = ("list", "dict", "tuple", "set", "List", "Dict", "Tuple", "Iterable", "Sequence", "Mapping", "Callable")


@dataclass
class Accepts:
    """What an annotation admits: scalars of ``types`` or among ``choices``, ``nested`` values, or ``anything``."""

    types: set[type] = field(default_factory=set)
    choices: list[Any] = field(default_factory=list)
    nested: bool = False  # lists and mappings, whatever is in them
    anything: bool = False

    def holds(self, value: object) -> bool:
        """Whether ``value``, from a YAML file, may be passed."""
        if self.anything or not (self.types or self.choices):
            return True
        if isinstance(value, list | dict):
            return self.nested
        whole_as_float = float in self.types and type(value) is int
        return type(value) in self.types or whole_as_float or any(v is value or v == value for v in self.choices)

    def words(self) -> str:
        """What is admitted, for a message."""
        names = {float: "a number", int: "a whole number", bool: "true or false", str: "a text", type(None): "null"}
        kinds = [name for kind, name in names.items() if kind in self.types]
        if float in self.types and int in self.types:
            kinds.remove("a whole number")
        choices = ", ".join(dict.fromkeys(map(str, self.choices)))
        return " or ".join([choices] * bool(choices) + kinds + ["a list"] * self.nested)


@dataclass
class Signature:
    """Parameters by name; ``open`` where it takes any other keyword too."""

    parameters: dict[str, Accepts]
    open: bool = False


@cache
def of(target: str) -> Signature | None:
    """The signature of a class or function by its dotted name, as ``_target_`` has it; None where no source tells."""
    found = _locate(target)
    if found is None:
        return None
    node, module = found
    if isinstance(node, ast.FunctionDef):
        return _of_function(node, module)
    return _of_class(node, module) if isinstance(node, ast.ClassDef) else None


def exists(target: str) -> bool:
    """Whether the package that a dotted name begins with is installed."""
    try:
        return importlib.util.find_spec(target.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def beside(target: str) -> list[str] | None:
    """The names that the module of a dotted name defines or imports; None where its source does not tell all."""
    module = _module(target.rpartition(".")[0])
    found, whole = _definitions(module) if module else ({}, [])
    dynamic = not found or whole or "__getattr__" in found
    return None if dynamic else [name for name in found if not name.startswith("_")]


def dataclass_in(module: str) -> str | None:
    """The dotted name of the dataclass that a module defines; None where there is none."""
    source = _module(module)
    for name, node in _definitions(source)[0].items() if source else ():
        if isinstance(node, ast.ClassDef) and _is_dataclass(node):
            return f"{module}.{name}"
    return None


@dataclass(frozen=True)
class _Module:
    """A module's source: ``name`` dotted, ``package`` what its relative imports start from."""

    name: str
    package: str
    file: Path


def _locate(target: str) -> tuple[ast.AST, _Module] | None:
    words = target.split(".")
    for cut in range(len(words) - 1, 0, -1):
        module = _module(".".join(words[:cut]))
        if module is not None:
            return _find(module, words[cut]) if cut == len(words) - 1 else None
    return None


@cache
def _module(name: str) -> _Module | None:
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)  # imports nothing, as it has no parent
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    for folder in spec.submodule_search_locations:
        path = Path(folder, *rest)
        if (path / "__init__.py").is_file():
            return _Module(name, name, path / "__init__.py")
        if path.with_suffix(".py").is_file():
            return _Module(name, name.rpartition(".")[0], path.with_suffix(".py"))
    return None


@cache
def _definitions(module: _Module) -> tuple[dict[str, ast.AST], list[_Module]]:
    """What stands at the top of a module, by name, and the modules it imports everything from."""
    try:
        body = ast.parse(module.file.read_text(encoding="utf-8")).body
    except (OSError, SyntaxError, UnicodeDecodeError):
        return {}, []
    found: dict[str, ast.AST] = {}
    whole: list[_Module] = []
    for node in _flat(body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.ImportFrom):
            source = _imported(node, module)
            for alias in node.names:
                if alias.name == "*":
                    whole += [other] if (other := _module(source)) else []
                else:
                    found[alias.asname or alias.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            found[node.target.id] = node.value
    return found, whole


def _flat(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements, those inside ``if`` and ``try`` too."""
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            yield from _flat(node.body + node.orelse)
        else:
            yield node


def _imported(node: ast.ImportFrom, module: _Module) -> str:
    if not node.level:
        return node.module or ""
    words = module.package.split(".")
    start = words[: len(words) - (node.level - 1)]
    return ".".join(start + ([node.module] if node.module else []))


def _find(module: _Module, name: str, depth: int = 0) -> tuple[ast.AST, _Module] | None:
    """What ``name`` stands for in a module, followed through imports."""
    if depth > 8:
        return None
    found, whole = _definitions(module)
    node = found.get(name)
    if isinstance(node, ast.ImportFrom):
        original = next(alias.name for alias in node.names if (alias.asname or alias.name) == name)
        source = _module(_imported(node, module))
        return _find(source, original, depth + 1) if source else None
    if node is not None:
        return node, module
    return next((hit for other in whole if (hit := _find(other, name, depth + 1))), None)


def _of_function(node: ast.FunctionDef, module: _Module) -> Signature:
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    parameters = {a.arg: _accepts(a.annotation, module) for a in named if a.arg not in ("self", "cls")}
    return Signature(parameters, open=arguments.kwarg is not None)


def _of_class(node: ast.ClassDef, module: _Module) -> Signature | None:
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            return _of_function(statement, module)
    if _is_dataclass(node):
        return Signature(_fields(node, module))
    for base, home in _bases(node, module):
        if signature := _of_class(base, home):
            return signature
    return None


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.dump(decorator) for decorator in node.decorator_list)


def _fields(node: ast.ClassDef, module: _Module) -> dict[str, Accepts]:
    """The fields of a dataclass, those of its bases too."""
    inherited: dict[str, Accepts] = {}
    for base, home in reversed(list(_bases(node, module))):
        if _is_dataclass(base):
            inherited |= _fields(base, home)
    own = [s for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]
    return inherited | {
        statement.target.id: _accepts(statement.annotation, module)
        for statement in own
        if isinstance(statement.target, ast.Name) and "ClassVar" not in ast.dump(statement.annotation)
    }


def _bases(node: ast.ClassDef, module: _Module) -> Iterator[tuple[ast.ClassDef, _Module]]:
    for base in node.bases:
        hit = _find(module, base.id) if isinstance(base, ast.Name) else None
        if hit and isinstance(hit[0], ast.ClassDef):
            yield hit[0], hit[1]


def _accepts(annotation: ast.AST | None, module: _Module, depth: int = 0) -> Accepts:
    """An annotation, understood as far as scalars are concerned."""
    if annotation is None or depth > 8:
        return Accepts(anything=True)
    match annotation:
        case ast.Constant(value=None):
            return Accepts({type(None)})
        case ast.Constant(value=str() as text):
            return _accepts(ast.parse(text, mode="eval").body, module, depth + 1)
        case ast.Name(id=name) if name in _PLAIN:
            return Accepts({_PLAIN[name]})
        case ast.Name(id=name) if name in _CONTAINERS:
            return Accepts(nested=True)
        case ast.Name(id=name):
            hit = _find(module, name)
            if hit is None:
                return Accepts(anything=True)
            # YAML makes no objects of classes.
            return Accepts() if isinstance(hit[0], ast.ClassDef) else _accepts(hit[0], hit[1], depth + 1)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _either(_accepts(left, module, depth + 1), _accepts(right, module, depth + 1))
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inside):
            values = inside.elts if isinstance(inside, ast.Tuple) else [inside]
            return Accepts(choices=[value.value for value in values if isinstance(value, ast.Constant)])
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inside):
            return _either(Accepts({type(None)}), _accepts(inside, module, depth + 1))
        case ast.Subscript(value=ast.Name(id="Union"), slice=inside):
            parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
            return _either(*(_accepts(part, module, depth + 1) for part in parts))
        case ast.Subscript(value=ast.Name(id=name)) if name in _CONTAINERS:
            return Accepts(nested=True)
    return Accepts(anything=True)


def _either(*parts: Accepts) -> Accepts:
    return Accepts(
        set().union(*(part.types for part in parts)),
        [choice for part in parts for choice in part.choices],
        nested=any(part.nested for part in parts),
        anything=any(part.anything for part in parts),
    )
