"""Which kernels really ran: what a runtime's own profile of one batch says of a file's convolutions and products."""

import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

LAYERS = ("Conv", "Gemm", "MatMul", "FullyConnected")  # in the names of whatever multiplies by weights


def ran(runtime: str, file: Path, pictures: np.ndarray) -> str:
    """Kernels by name, with the precision that they computed in, for uint8 pictures (N, C, H, W); "" of torch's."""
    known = {"onnxruntime": onnxruntime_kernels, "openvino": openvino_kernels}
    found = known[runtime](file, pictures) if runtime in known else Counter()
    return ", ".join(f"{count} {name}" for name, count in found.most_common())


def onnxruntime_kernels(file: Path, pictures: np.ndarray) -> Counter[str]:
    """By the operator, of the graph as ONNX Runtime rewrote it, and the type of its first input."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.enable_profiling, options.log_severity_level = True, 3
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        session.run(None, {session.get_inputs()[0].name: pictures})
        events = json.loads(Path(session.end_profiling()).read_text())
    nodes = [event["args"] for event in events if event["cat"] == "Node" and event["name"].endswith("_kernel_time")]
    return Counter(
        f"{node['op_name']} ({next(iter(node['input_type_shape'][0]))})" for node in nodes if layer(node["op_name"])
    )


def openvino_kernels(file: Path, pictures: np.ndarray) -> Counter[str]:
    """By the name of the CPU's kernel, which ends in its precision."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERF_COUNT": True}
    request = openvino.Core().compile_model(str(file), "CPU", settings).create_infer_request()
    request.infer(pictures)
    ran = [info for info in request.profiling_info if "EXECUTED" in str(info.status)]
    return Counter(f"{info.node_type} ({info.exec_type})" for info in ran if layer(info.node_type))


def layer(operator: str) -> bool:
    return any(name in operator for name in LAYERS) and "Convert" not in operator
