"""OpenVINO's IR: a pair of files, ``.xml`` and ``.bin``, for Intel's and ARM's processors; made from the ONNX file.

Whoever runs it asks for ``INFERENCE_PRECISION_HINT=f32``: left to itself, OpenVINO computes what is float in bfloat16
where the processor can, which is another network.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hymtl.deploy.export import onnx
from hymtl.deploy.whole import Run, Whole

FILE, RUNTIME, MODULES, RESIZES = "model.xml", "openvino", ("onnx", "onnxscript", "openvino"), False


def obstacle(whole: Whole) -> str | None:
    """Nothing."""
    return None


def write(whole: Whole, file: Path, facts: Mapping[str, str], *, resize: int | None) -> None:
    """Weights stay float32, where they are float: OpenVINO's own default is to halve them."""
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        onnx.write(whole, Path(folder) / onnx.FILE, {}, resize=None)
        model = openvino.convert_model(Path(folder) / onnx.FILE)
        for key, value in facts.items():
            model.set_rt_info(value, ["hymtl", key])
        openvino.save_model(model, file, compress_to_fp16=False)


def run(file: Path, threads: int) -> Run:
    """OpenVINO's kernels for the CPU."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(file), "CPU", settings)
    return lambda pictures: compiled(np.ascontiguousarray(pictures))[0].copy()


def facts(file: Path) -> dict[str, str]:
    """What :func:`write` put into the model's runtime information."""
    import openvino

    model = openvino.Core().read_model(str(file))
    return {key: entry.astype(str) for key, entry in model.get_rt_info("hymtl").astype(dict).items()}
