"""The recipes, as numbers a user sees with `--cfg job`, and that overrides win over them."""

import gc
from dataclasses import fields

import pytest
from omegaconf import OmegaConf

from hymtl import backbones, settings, strategies
from hymtl.data import sources
from hymtl.runtime import quicker_imports
from tests.conftest import ROOT
from tests.small import SMALL

# Source: PyTorch's transfer learning tutorial and quantized transfer learning tutorial.
#             batch  lr    decay  step gamma augmentation           resize
RECIPES = {
    "finetune": (4, 1e-3, 0.0, 7, 0.1, "random_resized_crop", 256),
    "frozen": (4, 1e-3, 0.0, 7, 0.1, "random_resized_crop", 256),
    "quantized": (16, 1e-2, 0.0, 7, 0.1, "random_crop", 224),
    "qat": (16, 1e-3, 0.1, 5, 0.3, "random_crop", 224),
}


@pytest.mark.parametrize("strategy", RECIPES)
def test_a_strategy_alone_gives_its_recipe(config, strategy):
    cfg = config(f"strategy={strategy}")
    recipe = (
        cfg.data.batch_size,
        cfg.optim.lr,
        cfg.optim.weight_decay,
        cfg.scheduler.step_size,
        cfg.scheduler.gamma,
        cfg.data.augmentation,
        cfg.data.resize,
    )
    assert recipe == RECIPES[strategy]
    assert (cfg.epochs, cfg.optim.momentum, cfg.optim._target_) == (25, 0.9, "torch.optim.SGD")
    assert cfg.scheduler._target_ == "torch.optim.lr_scheduler.StepLR"


@pytest.mark.parametrize(
    ("overrides", "size", "expected"),
    [
        (["strategy=finetune"], 224, 256),
        (["strategy=qat"], 224, 224),
        (["strategy=finetune"], 260, 297),
        (["strategy=qat"], 260, 260),
        (["strategy=qat", "data.resize=300"], 260, 300),  # as given
        (["experiment=tutorial/garments"], 28, 28),
    ],
)
def test_pictures_are_scaled_in_proportion_to_what_the_network_sees_unless_a_size_is_given(
    config, overrides, size, expected
):
    assert settings.resize(config(*overrides), size) == expected


@pytest.mark.parametrize(
    ("strategy", "differences"),
    [
        ("finetune", {"trainer.gradient_clip_val": None, "strategy.batch_norm": "train"}),
        ("frozen", {"strategy.batch_norm": "moving"}),
        ("quantized", {"strategy.engine": "fbgemm"}),
        (
            "qat",
            {
                "strategy.engine": "fbgemm",
                "strategy.observers": "always",
                "strategy.reduce_range": True,
                "strategy.batch_norm": "train",
                "trainer.gradient_clip_val": None,
            },
        ),
    ],
)
def test_a_tutorial_experiment_is_its_strategy_but_for_what_it_says(config, strategy, differences):
    ours = config(f"strategy={strategy}", "backbone=resnet18", "data=hymenoptera")
    tutorial = config(f"experiment=tutorial/{strategy}")
    for name, value in differences.items():
        assert OmegaConf.select(tutorial, name) == value != OmegaConf.select(ours, name)
        OmegaConf.update(ours, name, value)
    assert ours == tutorial


@pytest.mark.parametrize("name", strategies.names())
def test_every_strategys_options_and_defaults_are_those_of_its_config(config, name):
    options = OmegaConf.to_container(config(f"strategy={name}").strategy)
    assert options.pop("name") == name == strategies.kind(name).name
    defaults = {field.name: field.default for field in fields(strategies.kind(name))}
    if "quantizer" in defaults:  # in Python nobody has looked at the backbone yet, so there the default is settled
        assert (options.pop("quantizer"), defaults.pop("quantizer")) == ("auto", "eager")
    assert options == defaults


def test_every_strategy_backbone_and_data_source_has_a_config_of_its_name():
    configs = {group: {file.stem for file in (ROOT / "conf" / group).glob("*.yaml")} for group in
               ("strategy", "backbone", "data")}  # fmt: skip
    assert configs["strategy"] == set(strategies.names())
    ours = set(backbones.every()) - {SMALL.name}  # that one is of the tests
    assert configs["backbone"] == ours | {"auto", "timm"}  # the first of several; any of timm's
    assert configs["data"] == set(sources.names()) | {"_loader"}


def test_the_command_line_wins_over_the_recipe(config):
    cfg = config("strategy=qat", "optim.lr=5e-4", "scheduler.step_size=3", "epochs=2", "data.batch_size=8")
    assert (cfg.optim.lr, cfg.scheduler.step_size, cfg.data.batch_size) == (5e-4, 3, 8)
    assert cfg.trainer.max_epochs == 2
    assert cfg.optim.weight_decay == 0.1  # what was not overridden stays


def test_another_optimizer_keeps_the_recipes_numbers(config):
    cfg = config("strategy=qat", "optim=adamw")
    assert cfg.optim._target_ == "torch.optim.AdamW"
    assert cfg.optim.weight_decay == 0.1


def test_what_quickens_imports_is_gone_after_them():
    with quicker_imports():
        assert not gc.isenabled()
    assert gc.isenabled()
