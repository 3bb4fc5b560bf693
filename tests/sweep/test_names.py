"""The names of a sweep's folders: short enough for any file system, and the same for the same command."""

from pathlib import Path

import pytest
from hydra import compose

from hymtl.errors import HymtlError
from hymtl.settings.overrides import Overrides
from hymtl.sweep import names

CONF = Path(__file__).parents[2] / "conf"
MANY = [f"optim.{name}={value}" for name, value in [("lr", 1e-5), ("momentum", 0.123456789), ("weight_decay", 1e-9)]]
MANY += ["backbone=efficientnet_lite0", "data.batch_size=2", "data.workers=0", "trainer.accelerator=cpu", "epochs=2"]
MANY += ["trainer.limit_train_batches=2", "calibration=null", "trainer.limit_val_batches=3", "~callbacks.pictures"]


@pytest.fixture
def named():
    """The names of the folders of some jobs, each given by what differs in it."""
    with Overrides(CONF) as overrides:

        def run(common, swept, *jobs):
            added = names.words([*common, *swept], overrides)
            composed = (compose("config", [*common, *job, *added], return_hydra_config=True) for job in jobs)
            return [cfg.hydra.sweep.subdir for cfg in composed]

        yield run


def test_a_long_command_gives_each_job_a_name_that_a_folder_can_have(named):
    swept, jobs = ["strategy=frozen,qat", "seed=0,1"], [["strategy=frozen", "seed=0"], ["strategy=qat", "seed=1"]]
    found = named(MANY, swept, *jobs)
    assert [name.partition(",of-")[0] for name in found] == ["strategy=frozen,seed=0", "strategy=qat,seed=1"]
    assert found == named(MANY, swept, *jobs)
    assert found[0] != named([*MANY, "data.val_fraction=0.5"], swept, *jobs)[0]
    assert max(map(len, found)) < 60


def test_a_long_command_of_one_job_or_of_a_search_too(named):
    (alone,) = named(MANY, [], [])
    (searched,) = named(MANY, ["seed=interval(0,9)"], ["seed=3"])
    assert alone.startswith("of-") and len(alone) < 20 and searched == f"{alone},seed=3"


def test_a_short_command_stands_in_the_names_as_it_is(named):
    assert named(["epochs=2"], ["seed=0,1"], ["seed=0"]) == ["seed=0,epochs=2"]
    assert named(["epochs=2"], [], []) == ["epochs=2"]


def test_what_differs_at_such_length_is_refused_with_a_remedy(named):
    values = ",".join(f"[{','.join(map(str, range(seed, 90)))}]" for seed in (1, 2))
    with pytest.raises(HymtlError, match=r"scheduler.milestones\) is too long .* hydra.sweep.subdir="):
        named(["epochs=2"], [f"scheduler.milestones={values}"])
