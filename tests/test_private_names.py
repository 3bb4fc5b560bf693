"""What hymtl uses of other packages though its name begins with an underscore: a release may take it away unannounced.

Each stands here with what breaks without it, so that a failing line says where to look.
"""

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import hymtl

WHERE = Path(hymtl.__file__).parent
PRIVATE = re.compile(r"_[A-Za-z]\w*(?<!_)")  # neither __dunder__ nor a key like _target_
# As pkgutil.resolve_name takes it: module:name.
NAMES = {
    "torch:_empty_affine_quantized": "EfficientNet-Lite in int8 could not be padded but by torch's own slow way.",
    "torch.cpu:_is_avx512_bf16_supported": "trainer.precision=auto would not know which CPUs have bfloat16.",
    "torch.cpu:_is_amx_tile_supported": "trainer.precision=auto would not know which CPUs have bfloat16.",
    "torch.cpu:_is_vnni_supported": "Nobody would know whether int8 sums overflow here, so whether to keep to 7 bits.",
    "torch.nn:Conv2d._conv_forward": "A convolution of QAT could not run with other weights than its own.",
    "torch.nn.modules.batchnorm:_BatchNorm": "strategy.batch_norm would not know every kind of batch norm.",
    "torch.ao.nn.intrinsic.qat:ConvBn2d._forward": "QAT would run torch's slower steps, as ours would not be called.",
    "torch.ao.quantization.fx:_decomposed": "A pt2e network could not be exported for programs without torchao.",
    "torch._export.utils:_is_cia_op": "pt2e could not take composite operations apart before it lowers a graph.",
    "torch._inductor.constant_folding:constant_fold": "pt2e could not pack weights: int8 kernels would not be found.",
    "torch._inductor.fx_passes.freezing_patterns:freezing_passes": "pt2e would run its reference graph, in float.",
    "torch.utils._pytree": "Importing torchao would log an error about its enums.",
    "pytorch_lightning.callbacks:ModelCheckpoint._update_best_and_save": "best.ckpt would not know its epoch.",
    "hydra._internal.utils:get_args_parser": "A command line could not be checked before Hydra and torch start.",
    "hydra._internal.core_plugins.basic_sweeper:BasicSweeper": "A sweep's jobs could not be told from a search's.",
    "omegaconf:DictConfig._get_node": "Settings could not be listed without resolving them.",
    "omegaconf:DictConfig._is_none": "A section that is null could not be told from one with settings.",
    "omegaconf:DictConfig._is_interpolation": "A reference to a section would be listed as settings of its own.",
    "omegaconf:AnyNode._value": "A setting could not be looked at without resolving it.",
    "timm.models._hub:download_cached_file": "Weights of timm that are on no hub could not be downloaded.",
    "torch.utils.tensorboard:SummaryWriter._get_file_writer": "TensorBoard's HPARAMS page would have no row.",
    "torch:_standard_gamma": "mixup and CutMix could not draw their shares from a generator of their own.",
    "os:_exit": "A process whose parent is gone would wait for its threads (Python documents this one).",
    "argparse:_SubParsersAction": "Nothing breaks but an annotation: argparse names its sub-commands in no other way.",
}


@pytest.mark.parametrize("name", NAMES)
def test_it_still_exists(name):
    pytest.importorskip(re.split("[.:]", name)[0])  # an extra's may be missing
    assert pkgutil.resolve_name(name) is not None, NAMES[name]


def test_all_that_are_used_are_listed_and_no_others():
    listed = {part for name in NAMES for part in re.split(r"[.:]", name) if PRIVATE.fullmatch(part)}
    used = dict(_used())
    assert {name: places for name, places in used.items() if name not in listed} == {}
    assert listed - used.keys() == set()


def _used() -> dict[str, list[str]]:
    """Where hymtl uses each private name that is not its own, or replaces a method of such a name."""
    trees = {file: ast.parse(file.read_text()) for file in [*WHERE.rglob("*.py"), WHERE.parent / "train.py"]}
    own = {name for tree in trees.values() for node in ast.walk(tree) for name in _defined(node)}
    found: dict[str, list[str]] = {}
    for file, tree in trees.items():
        foreign = {name for node in ast.walk(tree) for name in _imported(node)}
        for node in ast.walk(tree):
            for name in _mentioned(node, own, foreign):
                if PRIVATE.fullmatch(name):
                    found.setdefault(name, []).append(f"{file.relative_to(WHERE.parent)}:{node.lineno}")
    return found | {name: ["a method that replaces it"] for name in _replaced()}


def _defined(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id


def _imported(node: ast.AST) -> Iterator[str]:
    """Names under which a file has something of another package."""
    if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not _ours(node)):
        yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)


def _ours(node: ast.ImportFrom) -> bool:
    return (node.module or "").split(".")[0] == "hymtl"


def _mentioned(node: ast.AST, own: set[str], foreign: set[str]) -> Iterator[str]:
    """Names of attributes, of imports, and within dotted strings; ``own`` ones only where others have them too."""
    if isinstance(node, ast.Attribute):
        root: ast.AST = node
        while isinstance(root, ast.Attribute):
            root = root.value
        if node.attr not in own or (isinstance(root, ast.Name) and root.id in foreign):
            yield node.attr
    elif isinstance(node, ast.ImportFrom) and not _ours(node):
        yield from (node.module or "").split(".")
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.Import):
        yield from (part for alias in node.names for part in alias.name.split("."))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"\w+(\.\w+)+", node.value):
        yield from node.value.split(".")


def _replaced() -> set[str]:
    """Private methods of other packages' classes that a class of hymtl has under the same name, on purpose or not."""
    found = set()
    for module in pkgutil.walk_packages(hymtl.__path__, "hymtl."):
        if module.name.endswith("__main__"):
            continue
        try:
            imported = importlib.import_module(module.name)
        except ModuleNotFoundError:  # of an extra that is missing
            continue
        for kind in vars(imported).values():
            if inspect.isclass(kind) and kind.__module__ == module.name:
                others = [base for base in kind.__mro__[1:] if not base.__module__.startswith("hymtl")]
                methods = {name for name, value in vars(kind).items() if inspect.isfunction(value)}
                found |= {name for base in others for name in methods & vars(base).keys() if PRIVATE.fullmatch(name)}
    return found
