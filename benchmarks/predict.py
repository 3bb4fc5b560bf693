"""Photos a second of `hymtl predict`, and of other runtimes for the same artifact, side by side in one process.

    pip install onnx onnxruntime openvino       # those that are missing are left out
    python benchmarks/predict.py --photos DIR --artifact RUN

First the whole command's work, decoding alone and with the network; then the network alone, on prepared pictures in
batches of 16, all runtimes on as many threads as torch has and taking turns, the best of the rounds. What a runtime
changes is against the network as it was saved. Markdown on stdout.
"""

import argparse
import io
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

import hymtl  # noqa: E402
from benchmarks import tables  # noqa: E402
from benchmarks.given import facts  # noqa: E402
from hymtl.data import transforms  # noqa: E402
from hymtl.deploy.predict import BATCH, Predictor  # noqa: E402

Runtime = Callable[[Tensor], Tensor]  # normalized pictures (N, C, H, W) to logits (N, classes)
HEAD = ("runtime", "s to make", "photos/s, network alone", "largest change of a probability", "classes changed")


def main() -> None:
    options = arguments()
    predictor = hymtl.load(options.artifact)
    files = sorted(file for file in options.photos.rglob("*") if file.is_file() and not file.name.startswith("."))
    decode = best(lambda: decoded(predictor, files), options.rounds)
    whole = best(lambda: list(predictor.files(files)), options.rounds)
    print(*(f"- {name}: {value}" for name, value in facts().items()), sep="\n")
    print(f"- artifact: {predictor.artifact.backbone}, strategy {predictor.artifact.strategy['name']}")
    print(f"- photos: {len(files)}; `hymtl predict` {len(files) / whole:.0f} photos/s, loading and imports aside")
    print(f"- decoding alone: {len(files) / decode:.0f} photos/s, {decode / whole:.0%} of that time\n")
    pictures = transforms.normalize(torch.stack(decoded(predictor, files)), predictor.artifact.preprocessing)
    print(tables.table(HEAD, rows(predictor, pictures, options.rounds)))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of pictures, however deep")
    parser.add_argument("--artifact", type=Path, required=True, help="a run's folder, or the artifact in it")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def decoded(predictor: Predictor, files: list[Path]) -> list[Tensor]:
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(predictor.prepare, files))


def best(work: Callable[[], object], rounds: int) -> float:
    def seconds() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return min(seconds() for _ in range(rounds))


@torch.no_grad()
def rows(predictor: Predictor, pictures: Tensor, rounds: int) -> list[list[str]]:
    makers = {"torch, as saved": lambda *_: predictor.artifact.network, "torch, hymtl's": lambda network, _: network}
    makers |= {name: maker for name, maker in (("onnxruntime", onnx), ("openvino", openvino)) if find_spec(name)}
    made, failed = {}, []
    for name, maker in makers.items():
        began = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of exporters, on their own future
                made[name] = (maker(predictor.network, pictures[:BATCH].contiguous()), time.perf_counter() - began)
        except Exception as error:  # each runtime has its own for a network that it does not know
            failed.append([name, f"cannot: {type(error).__name__}", "", "", ""])
    saved = run(made["torch, as saved"][0], pictures)
    times = {name: [] for name in made}
    for _ in range(rounds):
        for name, (runtime, _) in made.items():
            times[name].append(best(lambda runtime=runtime: run(runtime, pictures), 1))
    return [row(name, took, len(pictures) / min(times[name]), run(runtime, pictures), saved)
            for name, (runtime, took) in made.items()] + failed  # fmt: skip


def run(runtime: Runtime, pictures: Tensor) -> Tensor:
    """Probabilities (N, classes)."""
    return torch.cat([runtime(batch) for batch in pictures.split(BATCH)]).softmax(dim=1)


def row(name: str, took: float, speed: float, said: Tensor, saved: Tensor) -> list[str]:
    changed = int((said.argmax(1) != saved.argmax(1)).sum())
    return [name, f"{took:.1f}", f"{speed:.0f}", f"{(said - saved).abs().max():.4f}", str(changed)]


def onnx(network: nn.Module, pictures: Tensor) -> Runtime:
    """By torch's older exporter, the one that knows int8 modules."""
    import onnxruntime

    file = io.BytesIO()
    torch.onnx.export(
        network, (pictures,), file, dynamo=False, input_names=["pictures"], dynamic_axes={"pictures": {0: "n"}}
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    return lambda batch: torch.from_numpy(session.run(None, {"pictures": batch.contiguous().numpy()})[0])


def openvino(network: nn.Module, pictures: Tensor) -> Runtime:
    """In float32: left to itself, it computes in bfloat16 where the CPU can, which is another network."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(openvino.convert_model(network, example_input=pictures), "CPU", settings)
    return lambda batch: torch.from_numpy(compiled(batch.contiguous().numpy())[0].copy())


if __name__ == "__main__":
    main()
