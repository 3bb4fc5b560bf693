"""ONNX, for ONNX Runtime and much else. int8 is QDQ: numbers rounded between operations in float, which runtimes fuse
into int8 kernels.

Operators: https://onnx.ai/onnx/operators/ (Resize 19: ``antialias`` is Pillow's and torch's).
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from hymtl.deploy.whole import Run, Whole
from hymtl.errors import HymtlError

FILE, RUNTIME, MODULES, RESIZES = "model.onnx", "onnxruntime", ("onnx", "onnxscript", "onnxruntime"), True
OPSET = 20
INPUT, SIZED, OUTPUT = "pictures", "sized", "probabilities"
_MODES = {"bilinear": "linear", "bicubic": "cubic"}  # of Resize


def obstacle(whole: Whole) -> str | None:
    """Nothing."""
    return None


def write(whole: Whole, file: Path, facts: Mapping[str, str], *, resize: int | None) -> None:
    """By torch's older exporter, the one that knows int8 modules, or for a graph of PT2E by its newer."""
    import onnx

    with _quietly(), torch.no_grad():
        model = _graph(whole) if whole.quantizer == "pt2e" else _traced(whole)
    if resize:
        model = _resized(model, whole, resize)
    for key, value in facts.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    onnx.save(model, file)


def run(file: Path, threads: int) -> Run:
    """ONNX Runtime's kernels for the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    # Threads that wait by running in circles take the cores from whatever else runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda pictures: session.run([OUTPUT], {INPUT: np.ascontiguousarray(pictures)})[0]


def facts(file: Path) -> dict[str, str]:
    """What :func:`write` put into the model's metadata."""
    import onnx

    return {entry.key: entry.value for entry in onnx.load(file).metadata_props}


def _traced(whole: Whole):
    import onnx

    batch = {0: "n"}
    content = io.BytesIO()
    torch.onnx.export(
        whole, (whole.example(),), content,  # type: ignore[arg-type]  # takes more than it says
        dynamo=False, opset_version=OPSET, input_names=[INPUT],
        output_names=[OUTPUT], dynamic_axes={INPUT: batch, OUTPUT: batch},
    )  # fmt: skip
    return onnx.load_from_string(content.getvalue())


def _graph(whole: Whole):
    batch = {0: torch.export.Dim("n", min=1, max=65536)}
    program = torch.onnx.export(
        whole, (whole.example(),), dynamo=True, opset_version=OPSET, input_names=[INPUT], output_names=[OUTPUT],
        dynamic_shapes=(batch,), verbose=False,
    )  # fmt: skip
    assert program
    return program.model_proto


def _resized(model, whole: Whole, resize: int):
    """The model behind a graph that scales and crops, as :func:`hymtl.data.transforms.evaluation` does."""
    from onnx import compose, helper, parser

    expected = whole.expected
    if expected.interpolation not in _MODES:
        raise HymtlError(f"--with-resize: ONNX scales {', '.join(_MODES)} only, not {expected.interpolation}.")
    size, channels = expected.size, expected.channels
    graph = parser.parse_graph(f"""
        resizing (uint8[n, {channels}, height, width] {INPUT}) => (uint8[n, {channels}, {size}, {size}] {SIZED})
        <int64[1] resize = {{{resize}}}, int64[2] crop = {{{size}, {size}}}, int64[2] axes = {{2, 3}},
         float two = {{2.0}},
         int64[1] zero = {{0}}, int64[1] second = {{2}}, int64[1] end = {{4}}>
        {{
            shape = Shape({INPUT})
            outer = Slice(shape, zero, second)
            sides = Slice(shape, second, end)
            shorter = ReduceMin(sides, zero)
            longer = Mul(sides, resize)
            scaled_sides = Div(longer, shorter)
            scaled_shape = Concat <axis: int = 0> (outer, scaled_sides)
            scaled = Resize <mode: string = "{_MODES[expected.interpolation]}", antialias: int = 1,
                cubic_coeff_a: float = -0.5, coordinate_transformation_mode: string = "half_pixel">
                ({INPUT}, , , scaled_shape)
            beyond = Sub(scaled_sides, crop)
            beyond_float = Cast <to: int = 1> (beyond)
            half = Div(beyond_float, two)
            rounded = Round(half)
            start = Cast <to: int = 7> (rounded)
            stop = Add(start, crop)
            {SIZED} = Slice(scaled, start, stop, axes)
        }}
    """)
    graph = compose.add_prefix_graph(graph, "resizing/", rename_inputs=False, rename_outputs=False)
    for node in model.graph.node:
        node.input[:] = [SIZED if name == INPUT else name for name in node.input]
    model.graph.input[0].name = SIZED
    before = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return compose.merge_models(before, model, io_map=[(SIZED, SIZED)])


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what exporters say of their own future."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
    logger.setLevel(level)
