"""torch.export's archive: for torch's own compilers, ExecuTorch among them."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch

from hymtl.deploy.whole import Run, Whole, in_torch

FILE, RUNTIME, MODULES, RESIZES = "model.pt2", "torch.export", (), False
_FACTS = "hymtl.json"


def obstacle(whole: Whole) -> str | None:
    """torch.export knows no packed int8 weights."""
    if whole.quantizer == "eager":
        return "torch.export refuses the packed int8 weights that strategy.quantizer=eager made"
    return None


def write(whole: Whole, file: Path, facts: Mapping[str, str], *, resize: int | None) -> None:
    """Export the network for batches of any size. int8 is the reference graph: int8 numbers in float arithmetic, for a
    compiler to lower."""
    batch = {0: torch.export.Dim("batch", min=1, max=65536)}
    with torch.no_grad():
        program = torch.export.export(whole, (whole.example(),), dynamic_shapes=(batch,), strict=False)
        if whole.quantizer:  # else only who has imported torchao could load it
            from hymtl.quantization import graphs

            program = program.run_decompositions(graphs.plain())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tensors that share memory
        torch.export.save(program, file, extra_files={_FACTS: json.dumps(dict(facts))})


def run(file: Path, threads: int) -> Run:
    """On torch's threads, which are the whole process's."""
    network = torch.export.load(file).module()
    torch.set_num_threads(threads)
    return in_torch(network)


def facts(file: Path) -> dict[str, str]:
    """What :func:`write` put beside the network."""
    found = {_FACTS: ""}
    torch.export.load(file, extra_files=found)
    return json.loads(found[_FACTS])
