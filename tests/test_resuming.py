"""`resume=RUN_DIR`: the run's own settings, composed anew, and nothing of the folder trusted."""

from pathlib import Path

import pytest
import yaml

from hymtl import resuming
from hymtl.errors import HymtlError

CONF = Path(__file__).parent.parent / "conf"


@pytest.fixture
def recorded(tmp_path):
    """A run's folder with these overrides on record."""

    def folder(*words):
        made = tmp_path / "seed=0,strategy=qat"
        (made / ".hydra").mkdir(parents=True, exist_ok=True)
        (made / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(words)))
        return made

    return folder


def prepared(*words):
    return resuming.prepared(list(words), CONF)


def test_the_recorded_overrides_come_back_and_epochs_may_grow(recorded):
    folder = recorded("strategy=frozen", "epochs=2", "optim.lr=0.1")
    words = prepared(f"resume={folder}", "epochs=5", "optim.lr=0.1")
    assert words[:3] == ["strategy=frozen", "epochs=5", "optim.lr=0.1"]
    assert words[3:] == [f"resume='{folder}'", f"hydra.run.dir='{folder}'", "hydra.output_subdir=null"]


def test_a_job_of_a_race_is_not_resumed_alone(recorded):
    folder = recorded("experiment=choose", "data=drawn", "strategy=probe", "data.fold=0", "choose.deadline=7")
    with pytest.raises(HymtlError, match=f"is a job of a race.* hydra.sweep.dir={folder.parent}"):
        prepared(f"resume={folder}")


@pytest.mark.parametrize(
    ("flags", "hydra"),
    [
        (["-cd", "mine"], {}),
        ([], {"job": {"config_name": "mine"}}),
        ([], {"runtime": {"config_sources": [{"path": "/mine", "schema": "file", "provider": "command-line"}]}}),
    ],
)
def test_a_run_whose_config_is_from_elsewhere_says_how_to_go_on(recorded, flags, hydra):
    folder = recorded("epochs=2")
    (folder / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": hydra}))
    with pytest.raises(HymtlError, match=f"goes on from there, with ckpt_path={folder}/checkpoints/last.ckpt "):
        prepared(*flags, f"resume={folder}")


def test_an_empty_folder_begins_nothing_anew():
    with pytest.raises(HymtlError, match="resume= names no folder"):
        prepared("resume=")
    assert prepared("resume=null", "seed=1") == ["resume=null", "seed=1"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["optim.lr=0.2"], r"these differ: optim\.lr \(0\.1, now 0\.2\)"),
        (["seed=3", "data.batch_size=9"], r"data\.batch_size \(4, now 9\), seed \(0, now 3\)"),
        (["epochs=1"], r"epochs=1 is less than the 2"),
        (["-m"], r"is for one run\. A sweep resumes its jobs by itself"),
    ],
)
def test_other_changed_settings_are_refused_by_name(recorded, given, message):
    with pytest.raises(HymtlError, match=message):
        prepared(f"resume={recorded('strategy=frozen', 'epochs=2', 'optim.lr=0.1')}", *given)


@pytest.mark.parametrize(
    "word",
    [
        "+callbacks.evil._target_=os.system", "trainer._target_=subprocess.Popen", "optim={_target_: os.system}",
        "data=../../../..{folder}/evil", "hydra.run.dir=/elsewhere", "run_dir=/elsewhere",
        "callbacks.last.dirpath=/elsewhere", "hydra/launcher=joblib", "seed=0,1", "logger._target_=${oc.env:HOME}",
    ],
)  # fmt: skip
def test_nothing_that_the_folder_names_is_instantiated_or_written_to(recorded, word):
    folder = recorded()
    (folder / "evil.yaml").write_text("defaults: [_loader]\nsource: auto\nroot: {_target_: os.system}\n")
    recorded("strategy=frozen", word.replace("{folder}", str(folder)))
    with pytest.raises(HymtlError):
        prepared(f"resume={folder}")


def test_what_the_user_repeats_is_the_users_own(recorded):
    own = "optim._target_=torch.optim.Adam"
    folder = recorded("strategy=frozen", own, "~optim.momentum")
    with pytest.raises(HymtlError, match=r"torch\.optim\.Adam, which conf/ does not"):
        prepared(f"resume={folder}")
    assert own in prepared(f"resume={folder}", own)


def test_a_conf_that_changed_since_is_named(recorded):
    folder = recorded("strategy=frozen")
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump({"seed": 7, "optim": {"lr": 0.001}}))
    with pytest.raises(HymtlError, match=r"conf/ has changed since that run began: seed \(7, now 0\)"):
        prepared(f"resume={folder}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no list of"), ("a: 1", "no list of"), ("- 1", "no list of"),
        ("- seed=0\n" * 10_000, "at most 200 overrides"),
        ("[" * 100_000, "nested more than 50 deep"), ("- &a x\n- *a\n", "alias"), ("- '~~~=['", "expected NAME|cannot"),
    ],
)  # fmt: skip
def test_a_record_that_is_none_is_refused(recorded, text, message):
    folder = recorded()
    (folder / ".hydra" / "overrides.yaml").write_text(text)
    with pytest.raises(HymtlError, match=message):
        prepared(f"resume={folder}")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(HymtlError, match="there is no such folder"):
        prepared(f"resume={tmp_path}/none")
    with pytest.raises(HymtlError, match="it is no run's folder"):
        prepared(f"resume={tmp_path}")


def test_paths_that_exist_need_no_quotes_of_their_own(tmp_path):
    last = tmp_path / "seed=0,strategy=qat" / "it's last.ckpt"
    last.parent.mkdir()
    last.touch()
    (word,) = prepared(f"ckpt_path={last}")
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (override,) = OverridesParser.create().parse_overrides([word])
    assert override.value() == str(last) and not override.is_sweep_override()
    assert prepared("seed=0,1", "data.root=plain") == ["seed=0,1", "data.root=plain"]
