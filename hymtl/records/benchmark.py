"""``benchmark.json``: how fast, large and hungry a run's networks and exported files are, measured side by side.

Times are seconds of a batch, sizes bytes.
"""

from collections.abc import Sequence

from pydantic import Field

from hymtl.records import Record

FILE = "benchmark.json"
FORMAT = 1
LATENCY = 1  # the batch whose time is called latency
BATCHES = (LATENCY, 16, 32)


class Time(Record):
    """Of one batch: the median of ``rounds``, and the quartiles around it."""

    median: float = Field(gt=0)
    low: float = Field(gt=0)
    high: float = Field(gt=0)
    rounds: int = Field(ge=1)

    def differs(self, other: "Time") -> bool:
        """Whether the spreads leave a gap between them."""
        return self.high < other.low or other.high < self.low


class Contender(Record):
    """``runtime`` is torch, onnxruntime ...; ``precision`` float or int8; ``batches`` has the time by the batch's size.

    ``memory`` is what loading it and the largest batch added to the process at its peak; None where the system does
    not say. ``deployed``: it says what the artifact says, where int8 networks also have a float one to compare with.
    """

    runtime: str
    precision: str
    deployed: bool
    batches: dict[str, Time]
    bytes: int = Field(ge=0)
    memory: int | None = None

    @property
    def name(self) -> str:
        """As tables call it."""
        return f"{self.runtime} {self.precision}"

    def at(self, batch: int) -> Time:
        """The time of a batch of that size."""
        return self.batches[str(batch)]


class Benchmark(Record):
    """``machine`` is what must be the same for times to be compared; ``cpu`` its name and features, for people.

    ``left_out``: the exported files that were not timed, and why.
    """

    format: int
    machine: str
    cpu: str
    threads: int
    contenders: list[Contender]
    left_out: list[str] = []

    def fastest(self, runtimes: Sequence[str]) -> str:
        """The runtime among ``runtimes`` that is fastest in batches of 16; the last of them where none was timed."""
        timed = [found for found in self.contenders if found.deployed and found.runtime in runtimes]
        return min(timed, key=lambda found: found.at(16).median).runtime if timed else runtimes[-1]

    @property
    def latency(self) -> Time | None:
        """Of one picture in torch, as the run deployed it; None where that was not timed."""
        return next((c.at(LATENCY) for c in self.contenders if c.deployed and c.runtime == "torch"), None)
