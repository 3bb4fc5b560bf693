"""What each strategy trains, and what of its deployed network is int8."""

import copy

import pytest
import torch
from torch import nn
from torch.ao.nn import quantized as int8

from hymtl import backbones, strategies
from hymtl.backbones.pretrained import Pretrained
from hymtl.identity import identity
from hymtl.network import Activations
from hymtl.quantization import eager
from hymtl.strategy import batch_norms

BACKBONES = ("resnet18", "efficientnet_lite0")
ENGINES = [name for name in ("onednn", "x86") if name in torch.backends.quantized.supported_engines]


def transferred(strategy: str, backbone: str, **options):
    chosen = strategies.create(strategy, **options)
    batches = [torch.randn(2, 3, 224, 224)]
    return chosen, chosen.transfer(Pretrained(backbones.get(backbone), "random", None), 3, batches)


def trainable(network: nn.Module) -> set[str]:
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_finetune_trains_every_parameter_of_the_backbone_and_a_new_head(backbone):
    _, network = transferred("finetune", backbone)
    body = {f"backbone.{name}" for name, _ in backbones.get(backbone).build().named_parameters()}
    assert trainable(network) == body | {"head.weight", "head.bias"}
    assert network.head.weight.shape == (3, backbones.get(backbone).features)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_frozen_trains_the_head_alone(backbone):
    _, network = transferred("frozen", backbone)
    assert trainable(network) == {"head.weight", "head.bias"}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_quantized_trains_the_head_alone(backbone):
    _, network = transferred("quantized", backbone)
    assert trainable(network) == {"head.1.weight", "head.1.bias"}
    assert isinstance(network.head[0], nn.Dropout) and network.head[0].p == 0.5


@pytest.mark.parametrize("backbone", BACKBONES)
def test_qat_trains_every_parameter_fused_or_not(backbone):
    _, network = transferred("qat", backbone)
    assert trainable(network) == {name for name, _ in network.named_parameters()}
    # Fusing moves batch norm into its convolution and loses no parameter of the float network.
    float_sizes = sorted(p.numel() for p in backbones.get(backbone).build().parameters())
    assert sorted(p.numel() for p in network.backbone.parameters()) == float_sizes


def kinds(network: nn.Module) -> dict[str, type]:
    return {name: type(module) for name, module in network.named_modules()}


def check_int8(network: nn.Module, backbone: str) -> None:
    """Every convolution and addition of the backbone is int8; the head is float; nothing is left over."""
    found = kinds(network.backbone)
    convolutions = [name for name, kind in kinds(backbones.get(backbone).build()).items() if kind is nn.Conv2d]
    int8_convolutions = [name for name, kind in found.items() if issubclass(kind, int8.Conv2d)]
    assert sorted(int8_convolutions) == sorted(convolutions)
    additions = [name for name, kind in found.items() if kind is int8.QFunctional]
    assert len(additions) == {"resnet18": 8, "efficientnet_lite0": 9}[backbone]
    assert found["quant"] is int8.Quantize and found["dequant"] is int8.DeQuantize
    left_in_float = {kind for kind in found.values() if kind in (nn.Conv2d, nn.BatchNorm2d, nn.Linear, nn.ReLU6)}
    assert not left_in_float
    assert set(kinds(network.head).values()) <= {nn.Sequential, nn.Dropout, nn.Linear}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_quantized_has_an_int8_backbone_and_a_float_head(backbone, engine):
    chosen, network = transferred("quantized", backbone, engine=engine)
    check_int8(network, backbone)
    check_int8(chosen.finish(network, []), backbone)


def test_the_next_job_of_a_sweep_finds_what_was_calibrated_on_the_same_pictures(monkeypatch):
    calibrated = []
    post_training = eager.post_training
    monkeypatch.setattr(eager, "post_training", lambda *given: calibrated.append(0) or post_training(*given))
    backbone, engine = backbones.get("efficientnet_lite0"), ENGINES[0]
    weights = {"whole": backbone.build().state_dict()}

    def backbone_of(pictures):
        start = Pretrained(backbone, "random", None)
        monkeypatch.setattr(Pretrained, "state_dict", lambda _: weights["whole"])
        chosen = strategies.create("quantized", engine=engine, source="calibrated")
        return identity(chosen.transfer(start, 2, [pictures]).backbone), len(calibrated)

    ones = torch.ones(2, 3, 64, 64)
    first, _ = backbone_of(ones)
    assert backbone_of(ones) == (first, 1)
    assert backbone_of(2 * ones)[1] == 2
    assert backbone_of(ones) == (first, 3)  # of other pictures in between nothing is left
    weights["whole"] = backbone.build().state_dict()
    other, count = backbone_of(ones)
    assert other != first and count == 4


@pytest.mark.parametrize("backbone", BACKBONES)
def test_ptq_trains_in_float_and_deploys_an_int8_backbone_and_a_float_head(backbone):
    chosen, network = transferred("ptq", backbone)
    assert trainable(network) == {name for name, _ in network.named_parameters()}
    assert not any(issubclass(kind, int8.Conv2d) for kind in kinds(network).values())
    check_int8(chosen.finish(network, [torch.randn(2, 3, 224, 224)]), backbone)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_qat_converts_to_an_int8_backbone_and_a_float_head(backbone, engine):
    chosen, network = transferred("qat", backbone, engine=engine)
    before = copy.deepcopy(network.state_dict())
    with chosen.training(network):
        network(torch.randn(2, 3, 224, 224))
    after_training = {key: value.clone() for key, value in network.state_dict().items()}
    check_int8(chosen.finish(network, []), backbone)
    # The network that trained is not what was converted.
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in after_training.items())
    assert before.keys() == after_training.keys()


def test_finetune_and_frozen_deploy_in_float():
    for name in ("finetune", "frozen"):
        chosen, network = transferred(name, "resnet18")
        assert not any(issubclass(kind, int8.Conv2d) for kind in kinds(chosen.finish(network, [])).values())


def test_a_frozen_backbones_batch_norm_stays_put_unless_asked_to_move():
    for batch_norm, moves in (("eval", False), ("moving", True)):
        _, network = transferred("frozen", "resnet18", batch_norm=batch_norm)
        network.train()
        before = network.backbone.bn1.running_mean.clone()
        network(torch.randn(4, 3, 64, 64))
        assert torch.equal(before, network.backbone.bn1.running_mean) is not moves


def test_observers_move_in_training_steps_alone():
    chosen, network = transferred("qat", "resnet18")
    with chosen.training(network):
        network(torch.randn(2, 3, 64, 64))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.eval()
    network(torch.randn(2, 3, 64, 64) * 100)
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in before.items())
    network.train()
    with chosen.training(network):
        network(torch.randn(2, 3, 64, 64) * 100)
    scale = "backbone.quant.activation_post_process.scale"
    assert not torch.equal(before[scale], network.state_dict()[scale])


@pytest.mark.parametrize("bits", [7, 8])
def test_a_fused_relu6_never_exceeds_six_neither_fake_quantized_nor_int8(bits):
    chosen, network = transferred("qat", "efficientnet_lite0", reduce_range=bits == 7)
    pictures = torch.randn(2, 3, 224, 224) * 30
    nn.init.constant_(network.backbone.stem.conv.bn.bias, 10.0)  # far above six
    with chosen.training(network):
        network(pictures)
    network.eval()
    deployed = chosen.finish(network, [])
    fake = network.backbone.stem(network.backbone.quant(pictures))
    real = deployed.backbone.stem(deployed.backbone.quant(pictures)).dequantize()
    assert 5.9 < fake.max() <= 6.01 and 5.9 < real.max() <= 6.01


@pytest.mark.parametrize("strategy", ["finetune", "qat"])
@pytest.mark.parametrize(("backbone", "moves"), [("resnet18", True), ("efficientnet_lite0", False)])
def test_batch_norm_trains_or_holds_as_suits_the_backbone_unless_told(strategy, backbone, moves):
    for option, expected in (("auto", moves), ("train", True), ("eval", False)):
        chosen, network = transferred(strategy, backbone, batch_norm=option)
        network.train()
        before = {name: value.clone() for name, value in network.named_buffers() if "running_mean" in name}
        with chosen.training(network):
            network(torch.randn(2, 3, 224, 224))
        after = dict(network.named_buffers())
        assert any(not torch.equal(value, after[name]) for name, value in before.items()) is expected


HEAD = {"head.weight", "head.bias"}


@pytest.mark.parametrize(
    ("backbone", "stages", "prefixes"),
    [
        ("resnet18", 1, ("backbone.layer4.",)),
        ("resnet18", 2, ("backbone.layer3.", "backbone.layer4.")),
        ("resnet18", 5, ("backbone.",)),
        ("efficientnet_lite0", 1, (*(f"backbone.blocks.{n}." for n in range(11, 16)), "backbone.head.")),
    ],
)
def test_partial_trains_the_head_and_the_last_stages(backbone, stages, prefixes):
    _, network = transferred("partial", backbone, stages=stages)
    late = {name for name, _ in network.named_parameters() if name.startswith(prefixes)}
    assert trainable(network) == late | HEAD
    network.train()
    frozen = {name: value.clone() for name, value in network.named_buffers() if not name.startswith(prefixes)}
    network(torch.randn(2, 3, 224, 224))
    buffers = dict(network.named_buffers())
    assert all(torch.equal(value, buffers[name]) for name, value in frozen.items())


@pytest.mark.parametrize("name", sorted(backbones.every()))
def test_the_stages_of_a_backbone_are_all_of_it_in_order_and_once(name):
    backbone = backbones.get(name)
    network = backbone.build()
    staged = [
        f"{m}.{p}" for stage in backbone.stages for m in stage for p, _ in network.get_submodule(m).named_parameters()
    ]
    assert staged == [name for name, _ in network.named_parameters()]


def test_partial_goes_on_from_what_its_fixed_part_gave():
    chosen, network = transferred("partial", "resnet18")
    names, pictures = list(network.state_dict()), torch.randn(2, 3, 64, 64)
    given = Activations(chosen.fixed_backbone(network)(pictures))
    assert given.values.shape == (2, 256, 4, 4)
    network.eval()
    logits = network(given)
    torch.testing.assert_close(logits, network(pictures))
    logits.sum().backward()
    assert {name for name, parameter in network.named_parameters() if parameter.grad is not None} == trainable(network)
    assert list(network.state_dict()) == names
    copied = copy.deepcopy(network)
    torch.nn.init.zeros_(copied.backbone.layer4[1].conv2.weight)
    assert torch.equal(network(given), logits) and not torch.allclose(copied(given), logits)
    network.train()
    network(given)
    counted = [stage[0].bn1.num_batches_tracked for stage in (network.backbone.layer3, network.backbone.layer4)]
    assert counted == [0, 1]  # only what trains is in train mode


def test_partial_refuses_stages_that_are_not_there():
    for stages in (0, 6):
        with pytest.raises(Exception, match=f"strategy.stages={stages}: resnet18 has 5 stages, so choose 1 to 5"):
            transferred("partial", "resnet18", stages=stages)


def test_gradual_trains_the_head_then_everything():
    chosen, network = transferred("gradual", "resnet18", head_epochs=2)
    for epoch in (0, 1):
        chosen.start_epoch(network, epoch)
        assert trainable(network) == HEAD
        network.train()
        assert not any(module.training for module in network.backbone.modules())
    chosen.start_epoch(network, 2)
    assert trainable(network) == {name for name, _ in network.named_parameters()}
    held = {name for name, module in network.named_modules() if not module.training}
    assert held == set(batch_norms(network.backbone)) != set()
    head, body = chosen.parameter_groups(network)
    assert len(head["params"]) == 2 and len(body["params"]) == len(list(network.backbone.parameters()))
    assert body["lr"] == 1e-4 and "lr" not in head
    assert body["weight_decay"] == 0.0 and "weight_decay" not in head  # as its batch norms are held


@pytest.mark.parametrize("strategy", ["gradual", "lp_ft"])
def test_a_head_that_came_first_sees_the_same_features_once_the_backbone_trains(strategy):
    chosen, network = transferred(strategy, "resnet18")
    chosen.start_epoch(network, 3)
    batch = torch.rand(4, 3, 64, 64)
    torch.testing.assert_close(network.train().features(batch), network.eval().features(batch))


@pytest.mark.parametrize(
    ("backbone", "batch_norm", "decayed"),
    [
        ("resnet18", "auto", {"backbone", "head"}),
        ("efficientnet_lite0", "auto", {"head"}),  # which holds its batch norms in eval mode
        ("efficientnet_lite0", "train", {"backbone", "head"}),
    ],
)
def test_weight_decay_leaves_a_backbone_alone_whose_batch_norms_are_held(backbone, batch_norm, decayed):
    chosen, network = transferred("qat", backbone, batch_norm=batch_norm)
    before = copy.deepcopy(dict(network.named_parameters()))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    groups = chosen.parameter_groups(network)
    assert sum(len(group["params"]) for group in groups) == len(before)
    torch.optim.SGD(groups, lr=0.1, weight_decay=0.1).step()
    moved = {name for name, parameter in network.named_parameters() if not torch.equal(parameter, before[name])}
    assert {name.split(".")[0] for name in moved} == decayed


def test_scratch_trains_everything_and_refuses_pretrained_weights(tmp_path):
    _, network = transferred("scratch", "resnet18")
    assert trainable(network) == {name for name, _ in network.named_parameters()}
    pretrained = Pretrained(backbones.get("resnet18"), "imagenet", tmp_path / "weights.pth")
    with pytest.raises(Exception, match="strategy=scratch starts from random weights"):
        strategies.create("scratch").check(pretrained)


def test_errors_name_the_thing_and_a_remedy():
    with pytest.raises(Exception, match="Did you mean 'qat'"):
        strategies.create("qta")
    with pytest.raises(Exception, match="Did you mean 'engine'"):
        strategies.create("qat", engin="x86")
    with pytest.raises(Exception, match="engine=fpga is unknown"):
        strategies.create("qat", engine="fpga")
    with pytest.raises(Exception, match="batch_norm=evel.*Did you mean 'eval'"):
        strategies.create("frozen", batch_norm="evel")
