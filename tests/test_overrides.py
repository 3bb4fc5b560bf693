"""Wrong settings: refused by name, with what was meant, before anything slow is imported."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from hymtl.errors import HymtlError
from hymtl.settings.overrides import Overrides
from hymtl.sweep import plugins, preflight

ROOT = Path(__file__).parents[1]

WRONG = {
    # Names that nobody reads.
    "lr=0.1": ["Did you mean optim.lr?"],
    "+lr=0.1": ["nobody reads", "Did you mean optim.lr?"],
    "++lr=0.1": ["nobody reads", "Did you mean optim.lr?"],
    "optim.learning_rate=1": ["Did you mean optim.lr?"],
    "optim.lrr=1": ["optim.lrr", "Did you mean optim.lr?"],
    "+optim.learning_rate=1": ["torch.optim.SGD takes no learning_rate", "Did you mean optim.lr?"],
    "model=resnet18": ["Did you mean backbone=resnet18?"],
    "+model=resnet18": ["Did you mean backbone=resnet18?"],
    "optimizer=adamw": ["Did you mean optim=adamw?"],
    "batch_size=8": ["Did you mean data.batch_size?"],
    "num_workers=2": ["Did you mean data.workers?"],
    "trainer.max_epoch=3": ["Did you mean epochs?"],
    "data.test_size=0.1": ["Did you mean data.test_fraction?"],
    "optim.name=adam": ["Did you mean optim=adamw?"],
    "backbone.foo=1": ["Choose from: backbone.name, backbone.weights."],
    "+trainer.foo=1": ["pytorch_lightning.Trainer takes no foo"],
    "trainer.overfit_batches=3": ["pytorch_lightning.Trainer takes it: +trainer.overfit_batches=3"],
    "+strategy.head_epochs=3": ["nobody reads"],
    "+callbacks.mine=1": ["+callbacks.mine._target_="],
    "+callbacks.mine._target_=nowhere.Class": ["the package nowhere is not installed"],
    "~optim": ["a run cannot do without optim"],
    "~data.batch_size": ["a run cannot do without data.batch_size"],
    "~lr": ["there is no such setting"],
    "~data": ["a run cannot do without data."],
    "~data.root": ["null already"],
    "~optim.lr=0.1": ["is 0.001 and not 0.1", "~optim.lr"],
    "+optim.lr=0.1": ["Leave out the +: optim.lr=0.1"],
    "strategy.stages=2": ["Choose from: strategy.batch_norm, strategy.name"],
    "+trainer.logger=true": ["logger=csv"],
    "+trainer.callbacks=[a]": ["callbacks=[default,lr_monitor]"],
    # Hydra's own.
    "+hydra.foo=1": ["nobody reads", "--cfg hydra"],
    "++hydra.job.foo=1": ["nobody reads"],
    "+hydra.sweep.folder=1": ["nobody reads", "hydra.sweep"],
    "+hydra.launcher.n_jobs=2": ["BasicLauncher takes no n_jobs"],
    "+hydra.callbacks.mine=1": ["nobody reads"],
    "hydra.run.dirr=x": ["Did you mean hydra.run.dir?"],
    "hydra.mode=MULTI": ["RUN, MULTIRUN"],
    "hydra/launcher=jobblib": ["Did you mean 'joblib'?"],
    "+hydra/launcher=joblib": ["Leave out the +"],
    "~hydra.run": ["cannot do without it"],
    "loss=focal": ["loss is a section", "loss.class_weights"],
    # Choices that there are not.
    "strategy=QAT": ["Did you mean 'qat'?", "finetune"],
    "backbone=resnet34": ["Did you mean 'resnet", "efficientnet_lite0"],
    "backbone.name=resnet34": ["Did you mean 'resnet"],
    "experiment=tutorial": ["tutorial/finetune", "tutorial/qat"],
    "strategy=qat,frozen": ["takes -m: python train.py -m strategy=qat,frozen"],
    "+data=folder": ["Leave out the +"],
    "++strategy=qat": ["Leave out the +: strategy=qat"],
    "strategy=[qat,frozen]": ["one choice", "-m strategy=qat,frozen"],
    "logger=[tensorboard,csv]": ["one choice", "logger=many"],
    "strategy.name=qat": ["give strategy=qat"],
    "experiment=qat": ["Did you mean 'tutorial/qat'?"],
    "scheduler=none": ["Did you mean scheduler=null?"],
    "callbacks=off": ["Did you mean callbacks=null?"],
    "debug=true": ["debug=true is unknown", "one_batch"],
    "strategy={}": ["strategy={} is unknown", "finetune"],
    "~backbone=resnet18": ["backbone is auto"],
    "data=tests": ["Did you mean data=folder data.root=tests?"],
    # Values that cannot be right.
    "optim.lr=abc": ["optim.lr=abc: expected a number"],
    "optim.lr=-1": ["expected a number of at least 0"],
    "optim.lr=${nothing}": ["optim.lr cannot be resolved"],
    "optim.lr": ["expected NAME=VALUE"],
    "epochs='3'": ["epochs='3': expected a whole number"],
    "optim.lr=inf": ["expected a number of at least 0"],
    "optim.lr=[0.1]": ["expected a number."],
    "optim.momentum=1": ["expected a number from 0 to below 1"],
    "seed=null": ["seed=null: expected a whole number from 0 to 4294967295"],
    "data.batch_size=[4]": ["expected a whole number"],
    "backbone.weights=[a,b]": ["expected imagenet or null or a path"],
    "backbone.weights=12": ["./2024"],
    "scheduler.step_size=0": ["expected a whole number of at least 1"],
    "trainer.limit_val_batches=0": ["a number of batches of at least 1"],
    "trainer.max_epochs=3": ["give epochs=3"],
    "trainer.deterministic=maybe": ["expected warn or true or false or null"],
    "data.distortion=randaug": ["Did you mean 'rand_augment'?", "null"],
    "strategy=frozen,": ["a comma too many: strategy=frozen"],
    "choose.strategies=[probe,,]": ["a comma too many: choose.strategies=[probe]"],
    "hydra.run.dir=a=b": ["what has brackets, commas, quotes or = in it needs quotes of its own"],
    "strategy==qat": ["one = is enough: strategy=qat"],
    "epochs=${nothing}": ["epochs cannot be resolved"],
    "run_dir=": ["run_dir=: expected a path"],
    "run_dir=${nothing}": ["run_dir cannot be resolved"],
    "optim._target_=torch.optim.Adamm": ["there is no such class", "Did you mean Adam"],
    "hydra.job_logging.root.level=LOUD": ["LOUD is unknown", "INFO"],
    "=qat": ["there is no such setting", "strategy=qat"],
    "épochs=3": ["there is no such setting"],
    "strategy=quantisé": ["plain letters", """'strategy="quantisé"'"""],
    "data.root=a(b": ["quotes of its own"],
    "data.resize=100": ["100 is less than the 224 pixels"],
    "data.augmentation=rotate": ["Choose from: "],
    "data=folder": ["data.root has no value"],
    "backbone.weights=missing.pth": ["there is no such file"],
    "trainer.accelerator=gppu": ["Did you mean 'gpu'?"],
    "trainer.precision=fp16": ["bf16-mixed"],
    "trainer.gradient_clip_val=much": ["expected a number or null"],
    "strategy.batch_norm=off": ["Choose from: auto, eval, train"],
    "data.batch_size=100000000000000000000": ["from 1 to 1000000"],
    "data.workers=1000": ["'auto' or a whole number from 0 to 256"],
    "data.resize=100000": ["from 1 to 10000"],
    "ckpt_path=README.md": ["README.md cannot be read as tensors", "last.ckpt"],
    "logger.save_dir=[]": ["expected a text"],
    "callbacks.features.disk_gb=-1": ["a number of gigabytes"],
    "run_dir=${run_dir}": ["run_dir cannot be resolved"],
    "epochs=3 seed=1": ["words of their own: epochs=3 seed=1"],
    "epochs=3;seed=1": ["words of their own: epochs=3 seed=1"],
    "backbone@x=resnet18": ["Did you mean backbone=resnet18?"],
    "choose.margin=0.02": ["choose is null", "experiment=choose"],
    "seed=range(0)": ["there is no value in it"],
    # Lightning's, of which it would find out late or not at all.
    "~trainer.max_epochs": ["give epochs=25"],
    "~logger.save_dir": ["a run cannot do without logger.save_dir"],
    "trainer.precision=64": ["32-true or bf16-mixed"],
    "trainer.precision=bf16-true": ["32-true or bf16-mixed"],
    "trainer.devices=[0,0]": ["each device once"],
    "trainer.num_sanity_val_steps=-2": ["-1 (all) or a whole number of at least 0"],
    "+trainer.plugins=[1]": ["would be overwritten"],
    "+trainer.fast_dev_run=-1": ["true or false or a whole number of at least 0"],
    "+trainer.min_epochs=-3": ["null or a whole number of at least 0"],
    "+trainer.max_steps=0": ["-1 (as many as epochs have) or a whole number of at least 1"],
    "+trainer.max_time=yesterday": ["days:hours:minutes:seconds"],
    "+trainer.max_time=00:00:00:00": ["days:hours:minutes:seconds"],
    "+trainer.check_val_every_n_epoch=0": ["null or a whole number of at least 1"],
    "+trainer.val_check_interval=2.5": ["a number of batches of at least 1"],
    "+trainer.overfit_batches=-1": ["0 or a number of batches of at least 1"],
    "+trainer.limit_test_batches=-1": ["0 or a number of batches of at least 1"],
    "+trainer.accumulate_grad_batches=-2": ["a whole number of at least 1"],
    "+trainer.gradient_clip_algorithm=median": ["norm or value or null"],
    "+trainer.reload_dataloaders_every_n_epochs=-1": ["a whole number of at least 0"],
    "+trainer.enable_checkpointing=false": ["expected null or true"],
    "+trainer.barebones=true": ["expected false"],
    # Hydra's, of which it would say so late, or in a traceback.
    "hydra.run.dir=": ["hydra.run.dir=: expected a path"],
    "hydra.verbose=maybe": ["true or false", "hydra.verbose=hymtl"],
    "hydra.job_logging.handlers=3": ["it is a section"],
}

WRONG_TOGETHER = {
    "strategy=frozen strategy.views=0": ["at least 1, or null"],
    "strategy=gradual strategy.head_epochs=-1": ["a whole number of epochs"],
    "strategy=gradual strategy.backbone_lr=-1": ["a number of at least 0"],
    "strategy=qat strategy.reduce_range=yes": ["expected auto or true or false"],
    "data=csv data.root=missing.csv": ["there is no such file", "path,label"],
    "data=folder data.root=": ["a path"],
    "backbone=timm backbone.model=": ["a text"],
    "scheduler=one_cycle scheduler.pct_start=2": ["a number from 0 to 1"],
    "scheduler=one_cycle scheduler.interval=batch": ["step or epoch"],
    "+trainer.check_val_every_n_epoch=4 epochs=3": ["none of 3 epochs would be validated"],
    "trainer.devices=10000 trainer.accelerator=cpu": ["this machine has"],
    "experiment=search/lr hydra.sweeper.n_trials=ten": ["hydra.sweeper.n_trials=ten: expected a whole number"],
    "experiment=search/lr hydra.sweeper.n_trials=0": ["at least 1"],
    "hydra.sweeper.max_batch_size=-1": ["hydra.sweeper.max_batch_size=-1: expected a whole number of at least 1"],
    "hydra/launcher=joblib hydra.launcher.n_jobs=two": [
        "hydra.launcher.n_jobs=two: ",
        "Integer" if find_spec("hydra_plugins.hydra_joblib_launcher") else "a whole number",
    ],
}

RIGHT = [
    "+optim.nesterov=true", "+optim.dampening=0", "+trainer.overfit_batches=3", "+trainer.accumulate_grad_batches=2",
    "+trainer.fast_dev_run=true", "+trainer.max_time=00:12:00:00", "+trainer.max_steps=9",
    "trainer.gradient_clip_val=1", "data.workers=auto", "~callbacks.pictures",
    "~callbacks", "callbacks=null", "~scheduler", "scheduler=null", "backbone.weights=null",
    "+callbacks.mine._target_=pytorch_lightning.callbacks.DeviceStatsMonitor", "trainer.devices=auto",
    "hydra.verbose=hymtl", "~trainer.accelerator",
    "hydra.run.dir=elsewhere", "+hydra.job.env_set.A=b", "optim=adamw", "experiment=tutorial/qat", "seed=3",
    "trainer.precision=bf16-mixed", "experiment=null", "++hydra.job_logging.loggers.mine.level=INFO",
    "+hydra.callbacks.mine._target_=hydra.experimental.callbacks.PickleJobInfoCallback",
]  # fmt: skip


@pytest.fixture
def overrides():
    with Overrides(ROOT / "conf") as opened:
        yield opened


@pytest.mark.parametrize("word", WRONG)
def test_a_wrong_setting_is_refused_by_name(overrides, word):
    with pytest.raises(HymtlError) as refused:
        overrides.check([word])
    said = str(refused.value)
    assert [part for part in WRONG[word] if part not in said] == [], said
    assert "Could not override" not in said and "append to your config" not in said


@pytest.mark.parametrize("words", WRONG_TOGETHER)
def test_what_another_choice_brings_is_checked_too(overrides, words):
    with pytest.raises(HymtlError) as refused:
        overrides.check(words.split())
    assert [part for part in WRONG_TOGETHER[words] if part not in str(refused.value)] == [], refused.value


@pytest.mark.parametrize("group", ["strategy", "data", "backbone"])
def test_what_a_run_cannot_do_without_is_never_null(overrides, group):
    with pytest.raises(HymtlError, match=f"{group}=null: a run cannot do without {group}. Choose from: "):
        overrides.for_hydra(f"{group}=null")


def test_every_strategy_trains_with_another_schedule_than_its_recipe(overrides):
    for strategy in overrides._options("strategy"):
        overrides.check([f"strategy={strategy}", "scheduler=cosine"])


@pytest.mark.parametrize("word", RIGHT)
def test_what_somebody_reads_is_accepted(overrides, word):
    overrides.check([overrides.for_hydra(word)])


def test_every_choice_that_is_offered_can_be_made(overrides, pictures):
    for group in ("strategy", "optim", "scheduler", "trainer", "callbacks", "logger", "experiment"):
        for option in overrides._options(group):
            if (group, option) == ("trainer", "gpu") and not torch.cuda.is_available():
                with pytest.raises(HymtlError, match="this machine shows no GPU"):
                    overrides.check(["trainer=gpu"])
                continue
            fold = ["data.fold=0"] if option == "choose" else []  # which the race itself gives to its jobs
            overrides.check([overrides.for_hydra(f"{group}={option}"), *fold])


WATCHED = """
import atexit, runpy, sys
atexit.register(lambda: print("torch" in sys.modules))
sys.argv = ["train.py", "+lr=0.1"]
runpy.run_path("train.py", run_name="__main__")
"""


def test_a_refusal_needs_no_torch():
    done = subprocess.run([sys.executable, "-c", WATCHED], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "Did you mean optim.lr?" in done.stderr and "Traceback" not in done.stderr
    assert done.stdout.strip() == "False"


def check(*words):
    preflight.refuse_or_announce(words, ROOT / "conf")


def test_all_bad_jobs_of_a_sweep_are_named_before_the_first_starts(capsys):
    seeds = ",".join(map(str, range(5)))
    with pytest.raises(SystemExit) as stop:
        check("-m", "strategy=finetune,frozen,qat,qta", f"seed={seeds},x")
    said = capsys.readouterr().err
    assert stop.value.code == 1 and "9 of 24 jobs cannot run, so none was started" in said
    assert "strategy=qat seed=x" in said and "Did you mean 'qat'?" in said and "seed=x: expected a whole number" in said


def test_what_belongs_to_a_race_is_refused_outside_of_one(capsys):
    with pytest.raises(SystemExit):
        check("choose=default")
    assert "Give experiment=choose" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["seed=range(0)", "strategy=glob(nothing*)"])
def test_a_sweep_over_nothing_is_refused(word, capsys):
    with pytest.raises(SystemExit):
        check("-m", word)
    assert f"{word}: there is no value in it to sweep over" in capsys.readouterr().err


def test_a_sweep_begins_with_what_it_will_take(capsys, tmp_path):
    check("-m", "strategy=frozen,qat", "seed=0,1,2", f"hydra.sweep.dir={tmp_path}")
    said = capsys.readouterr().out
    assert said.startswith("6 jobs, their settings checked in") and "GB of disk" in said


@pytest.mark.parametrize("option", ["--cfg=job", "--info=config"])
def test_what_one_run_has_is_not_asked_of_a_sweep(option, capsys):
    with pytest.raises(SystemExit):
        check("-m", option, "strategy=frozen,qat")
    assert "leave -m out" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["--strategy=qat", "-x"])
def test_a_setting_with_dashes_is_named(word, capsys):
    with pytest.raises(SystemExit):
        check(word)
    assert f"{word}: there is no such option. Settings have no dashes" in capsys.readouterr().err


def test_a_search_has_its_other_settings_checked(capsys, monkeypatch):
    monkeypatch.setattr(plugins, "check_installed", lambda hydra: None)  # extras are not everywhere
    with pytest.raises(SystemExit):
        check("experiment=search/lr", "lr=3")
    assert "Did you mean optim.lr?" in capsys.readouterr().err
    check("experiment=search/lr", "optim.lr=interval(0.1,1)")


@pytest.mark.parametrize("words", [["--help"], ["--cfg", "job", "strategy=qat"], ["strategy=qat", "optim.lr=1e-3"]])
def test_a_right_command_line_is_left_to_hydra(words, capsys):
    check(*words)
    assert capsys.readouterr().out == ""
