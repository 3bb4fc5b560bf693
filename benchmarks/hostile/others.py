"""Records, artifacts and checkpoints with something changed, given to the commands that read them."""

import csv
import hashlib
import io
import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.hostile import mutations, small
from benchmarks.hostile.forks import Ended, Limits
from hymtl import cli, resuming
from hymtl import records as hymtl_records
from hymtl.deploy import artifact
from hymtl.errors import HymtlError, printable
from hymtl.files import tensors
from hymtl.records import benchmark, description, failure, predictions, result

BATCH = 10  # runs of one comparison
LIMIT = 120.0  # seconds that a command may take
COUNTED = re.compile(r"(\d+) (finished run|FAILED|UNFINISHED|UNREADABLE)")
# What is mutated of a run, and how it is text.
RECORDS: dict[str, tuple[Callable[[str], Any], Callable[[Any], str]]] = {
    result.FILE: (json.loads, json.dumps),
    benchmark.FILE: (json.loads, json.dumps),
    failure.FILE: (json.loads, json.dumps),
    predictions.FILE: (lambda text: list(csv.reader(io.StringIO(text))), lambda rows: _as_csv(rows)),
    str(resuming.CONFIG): (yaml.safe_load, yaml.safe_dump),
    str(resuming.RECORDED): (yaml.safe_load, yaml.safe_dump),
}


def records(run: Path, folder: Path, count: int, chance: random.Random, limits: Limits) -> Iterator[None]:
    """``count`` mutated records of the finished ``run``, by `hymtl compare` and `resume=`."""
    while limits.counts["mutated records"] < count:
        batch = min(BATCH, count - limits.counts["mutated records"])
        place = folder / str(limits.counts["mutated records"])
        _copy(run, place / "good")
        for number in range(batch):
            _mutated_record(run, place / str(number), chance)
        ended = limits.run(lambda at=place: cli.main(["compare", str(at)]), str(place), LIMIT)
        limits.counts["mutated records"] += batch
        _check_compared(place, batch + 1, ended, limits)
        resumed = place / str(chance.randrange(batch))
        limits.run(lambda at=resumed: _resumed(at), f"resume={resumed}", LIMIT)
        limits.counts["resumed by mutated records"] += 1
        shutil.rmtree(place)
        yield


def _copy(run: Path, to: Path) -> None:
    for name in RECORDS:
        if (run / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run / name, to / name)


def _mutated_record(run: Path, to: Path, chance: random.Random) -> None:
    _copy(run, to)
    name = chance.choice(list(RECORDS))
    file = to / name
    if name == failure.FILE:
        (to / result.FILE).unlink()
        file.write_text(json.dumps({"format": 1, "error": "HymtlError: none", "overrides": ["seed=0"]}))
    if chance.random() < 0.3:
        file.write_bytes(mutations.data(file.read_bytes(), chance))
        return
    parse, write = RECORDS[name]
    text = write(mutations.tree(parse(file.read_text()), chance))
    file.write_bytes(text.encode(errors="surrogatepass"))


def _as_csv(rows: Any) -> str:
    stream = io.StringIO()
    for row in rows if isinstance(rows, list) else [rows]:
        csv.writer(stream).writerow(row if isinstance(row, list) else [row])
    return stream.getvalue()


def _check_compared(folder: Path, runs: int, ended: Ended, limits: Limits) -> None:
    """Every run is listed, as whatever it is, and nothing controls the terminal."""
    listed = sum(int(number) for number, _ in COUNTED.findall(ended.said[: ended.said.find("\n", 5)]))
    if ended.code != 0 or listed != runs:
        limits.failures.append(f"{folder}: exit code {ended.code}, {listed} of {runs} listed: {ended.said[-1500:]}")
    pages = [folder / f"comparison.{kind}" for kind in ("csv", "md", "html")]
    for text in (ended.said, *(page.read_text() for page in pages if page.is_file())):
        if printable(text) != text:
            limits.failures.append(f"{folder}: signs that control a terminal")


def _resumed(folder: Path) -> int:
    try:
        resuming.prepared([f"resume={folder}"], small.ROOT / "conf")
        if (folder / result.FILE).is_file():  # nothing more to do: what it is told then
            print(result.summary(hymtl_records.read(result.Result, folder / result.FILE), str(folder)))
    except HymtlError as error:
        print(error)
        return 1
    return 0


def artifacts(run: Path, picture: Path, folder: Path, count: int, chance: random.Random, limits: Limits) -> Iterator:
    """``count`` mutated artifacts of ``run``, signed as if nothing were wrong, by `hymtl predict`."""
    for number in range(count):
        place = folder / str(number)
        shutil.copytree(run / "artifact", place)
        name = chance.choice([description.FILE, description.FILE, artifact.WEIGHTS])
        _mutate_artifact(place / name, chance)
        if chance.random() < 0.9:
            _sign(place)
        words = ["predict", str(place), str(picture), "--json"]
        ended = limits.run(lambda words=words: cli.main(words), str(place), LIMIT)
        limits.counts["mutated artifacts"] += 1
        limits.counts["artifacts refused" if ended.code else "artifacts used all the same"] += 1
        if ended.code == 0 and "NaN" in ended.said:
            limits.failures.append(f"{place}: predicts NaN")
        yield


def _mutate_artifact(file: Path, chance: random.Random) -> None:
    if chance.random() < 0.3:
        file.write_bytes(mutations.data(file.read_bytes(), chance))
    elif file.name == description.FILE:
        changed = mutations.tree(json.loads(file.read_text()), chance)
        file.write_bytes(json.dumps(changed).encode(errors="surrogatepass"))
    else:
        torch.save(_mutated_state(tensors.read(file), chance), file)


def _mutated_state(state: Any, chance: random.Random) -> Any:
    """A state dict, or a checkpoint, with tensors of other shapes, kinds and values, or none."""
    changed = mutations.tree(state, chance) if chance.random() < 0.6 else dict(state)
    tensors_in = list(_tensors(changed))
    if tensors_in and chance.random() < 0.7:
        node, key = chance.choice(tensors_in)
        whole = node[key]
        others = [
            lambda: whole[..., :1], lambda: whole.flatten(), lambda: whole[None], lambda: whole.double(),
            lambda: whole.to(torch.complex64), lambda: whole.bool(), lambda: torch.full_like(whole, float("nan")),
            lambda: torch.full_like(whole, float("inf")), lambda: whole.numpy().tolist(), lambda: whole.to_sparse(),
            lambda: torch.empty(0), lambda: whole.to("meta"), lambda: torch.zeros(1).expand(2**40),
        ]  # fmt: skip
        try:
            node[key] = chance.choice(others)()
        except (RuntimeError, TypeError, IndexError):  # not of this kind of tensor
            node[key] = None
    return changed


def _tensors(node: Any) -> Iterator[tuple[Any, Any]]:
    for key, part in list(
        node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    ):
        if isinstance(part, torch.Tensor):
            yield node, key
        yield from _tensors(part)


def _sign(folder: Path) -> None:
    names = (description.FILE, artifact.WEIGHTS)
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / artifact.DIGESTS).write_text("".join(lines))


def checkpoints(run: Path, pictures: Path, folder: Path, count: int, chance: random.Random, limits: Limits) -> Iterator:
    """``count`` mutated ``last.ckpt`` of ``run``, with which `train.py` is to go on for another epoch."""
    last = run / "checkpoints" / "last.ckpt"
    for number in range(count):
        place = folder / str(number)
        place.mkdir(parents=True)
        changed = place / "changed.ckpt"
        if chance.random() < 0.3:
            changed.write_bytes(mutations.data(last.read_bytes(), chance))
        else:
            torch.save(_mutated_state(tensors.read(last), chance), changed)
        words = [
            *small.of_strategy(json.loads((run / result.FILE).read_text())["strategy"]), f"data.root={pictures}",
            f"epochs={small.EPOCHS + 1}", "data.workers=0", f"ckpt_path={changed}", f"hydra.run.dir={place}/run",
        ]  # fmt: skip
        ended = limits.run(lambda words=words: small.train(*words), str(place), LIMIT)
        limits.counts["mutated checkpoints"] += 1
        limits.counts["checkpoints refused" if ended.code else "checkpoints gone on with all the same"] += 1
        if ended.code not in (0, 1):
            limits.failures.append(f"{place}: exit code {ended.code}: {ended.said[-1500:]}")
        yield
