"""strategy.quantizer=pt2e: torchao's graphs instead of torch.ao.quantization's modules."""

import copy
import sys

import pytest
import torch
from torch import nn

from hymtl import backbones, strategies
from hymtl.backbones import pretrained
from hymtl.backbones.pretrained import Pretrained
from hymtl.data.batches import PictureBatches
from hymtl.data.photos import read_folder
from hymtl.deploy import artifact
from hymtl.errors import HymtlError
from hymtl.quantization import pt2e

STRATEGIES = ("quantized", "ptq", "qat")


@pytest.fixture
def torchao():
    pytest.importorskip("torchao", reason='needs torchao: pip install -e ".[pt2e]"')


def transferred(strategy: str, backbone: str = "resnet18", batches=None, **options):
    torch.manual_seed(0)  # the same random weights for both quantizers
    chosen = strategies.create(strategy, **{"quantizer": "pt2e", **options})
    batches = [torch.randn(2, 3, 224, 224)] if batches is None else batches
    return chosen, chosen.transfer(Pretrained(backbones.get(backbone), "random", None), 2, batches)


def hparams(chosen, backbone: str = "resnet18") -> dict:
    return {"backbone": backbone, "strategy": chosen.spec(), "classes": ["ants", "bees"], "resize": 224, "sources": {}}


def changed(before: dict, after: dict) -> list[str]:
    return [name for name, value in before.items() if not torch.equal(value, after[name])]


def snapshot(network: nn.Module) -> dict:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_without_torchao_the_error_says_what_to_install(monkeypatch, strategy):
    for name in [name for name in sys.modules if name.split(".")[0] == "torchao"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchao", None)
    with pytest.raises(HymtlError, match=r'quantizer=pt2e needs torchao.*pip install "hymtl\[pt2e\]"'):
        strategies.create(strategy, quantizer="pt2e")
    strategies.create(strategy)  # the default needs none


def test_errors_name_the_setting_and_a_remedy(torchao):
    with pytest.raises(HymtlError, match="strategy.quantizer=pte2.*Did you mean 'pt2e'"):
        strategies.create("qat", quantizer="pte2")
    with pytest.raises(HymtlError, match="strategy.engine=fbgemm.*Choose from: auto, onednn, reference"):
        strategies.create("qat", quantizer="pt2e", engine="fbgemm")
    with pytest.raises(HymtlError, match="strategy.source=calibrated"):
        transferred("quantized", source="official")


def test_a_seed_gives_quantized_the_same_head_whatever_the_quantizer(torchao):
    heads = [transferred("quantized", quantizer=quantizer)[1].head[1].weight for quantizer in ("eager", "pt2e")]
    assert torch.equal(*heads)


def test_what_cannot_be_exported_is_refused_before_anything_slow(torchao):
    weights = Pretrained(backbones.get("garment_cnn"), "random", None)
    with pytest.raises(HymtlError, match="backbone=garment_cnn cannot be quantized with strategy.quantizer=pt2e"):
        strategies.create("qat", quantizer="pt2e").check(weights)
    strategies.create("qat", quantizer="pt2e").check(Pretrained(backbones.get("resnet18"), "random", None))


class Branching(nn.Module):
    def forward(self, pictures):
        return pictures if pictures.sum() > 0 else -pictures


def test_a_network_that_branches_on_its_pictures_cannot_be_exported(torchao):
    assert "torch.export cannot trace it" in pt2e.obstacle(Branching(), (3, 32, 32))
    assert pt2e.obstacle(nn.Conv2d(3, 4, 3), (3, 32, 32)) is None


def features(body: nn.Module, batches) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([body(images) for images, _ in batches])


def fit(head: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> None:
    optimizer = torch.optim.SGD(head.parameters(), lr=0.01, momentum=0.9)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(inputs), labels).backward()
        optimizer.step()


@pytest.mark.slow
def test_a_head_learns_on_pt2e_features_what_it_learns_on_eager_ones(torchao, pictures):
    found = pretrained.find("efficientnet_lite0", "imagenet")
    data = PictureBatches(read_folder(pictures), found.backbone.preprocessing, batch_size=12, resize=224, workers=0)
    train, val = list(data.loader("train", shuffle=True)), list(data.loader("val"))
    exact = found.backbone.build().eval()
    exact.load_state_dict(found.state_dict())
    exact = features(exact, val)
    logits, accuracy = {}, {}
    for quantizer, engine in (("eager", "auto"), ("pt2e", "reference")):
        torch.manual_seed(0)  # of the head's weights and its dropout
        chosen = strategies.create("quantized", quantizer=quantizer, engine=engine, source="calibrated")
        network = chosen.transfer(found, 2, [images for images, _ in train])
        fit(network.head, features(network.backbone, train), torch.cat([labels for _, labels in train]))
        int8 = features(network.backbone, val)
        assert nn.functional.cosine_similarity(int8, exact).mean() > 0.97
        logits[quantizer] = network.head.eval()(int8)
        accuracy[quantizer] = (logits[quantizer].argmax(1) == torch.cat([labels for _, labels in val])).float().mean()
    assert accuracy["eager"] > 0.7  # it learned, so that agreeing means something
    assert abs(accuracy["pt2e"] - accuracy["eager"]) < 1.5 / 12  # one picture of twelve
    assert nn.functional.cosine_similarity(logits["pt2e"], logits["eager"]).mean() > 0.95


def test_ptq_finetunes_in_float_and_its_int8_artifact_loads_bit_for_bit(torchao, tmp_path):
    chosen, network = transferred("ptq", engine="reference")
    float_bytes = sum(value.nbytes for value in network.state_dict().values())
    pictures = torch.randn(3, 3, 224, 224)
    deployed = chosen.finish(network, [torch.randn(2, 3, 224, 224)])
    kinds = [value.dtype for name, value in deployed.state_dict().items() if name.startswith("backbone.")]
    assert kinds.count(torch.int8) == 20  # resnet18's convolutions
    artifact.save(tmp_path, deployed, hparams(chosen), {})
    assert (tmp_path / artifact.WEIGHTS).stat().st_size < 0.26 * float_bytes
    assert torch.equal(artifact.load(tmp_path).network(pictures), deployed(pictures))


def test_onednn_kernels_compute_what_the_reference_graph_says(torchao):
    from hymtl.quantization.pt2e import ENGINES, choose_engine

    if choose_engine() != ENGINES[0]:
        pytest.skip("needs an x86 CPU")
    _, network = transferred("quantized")
    assert not any(value.requires_grad for value in network.backbone.parameters())
    pictures = torch.randn(3, 3, 224, 224)
    kernels, reference = network.backbone(pictures), network.backbone.graph(pictures)
    assert nn.functional.cosine_similarity(kernels, reference).min() > 0.999
    assert any("qconv" in str(node.target) for node in network.backbone._kernels.graph.nodes)
    copy.deepcopy(network)(pictures[:1])  # another batch size, and kernels that a copy makes anew


def test_qat_trains_observes_in_training_alone_and_deploys_what_it_scored(torchao, tmp_path):
    chosen, network = transferred("qat", engine="reference", batch_norm="train")
    network.train()
    pictures = torch.randn(2, 3, 224, 224)
    with chosen.training(network):
        network(pictures).square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    before = snapshot(network)
    with chosen.training(network):
        network(pictures * 2)
    assert {"backbone.graph.bn1.running_mean", "backbone.graph.activation_post_process_0.scale"} <= set(
        changed(before, network.state_dict())
    )

    # Lightning goes back to training by setting this attribute, without a call of train().
    network.eval()
    for module in network.modules():
        module.training = True
    before = snapshot(network)
    network(pictures)
    moved = changed(before, network.state_dict())
    assert moved and all("running_" in name for name in moved)

    network.eval()
    before = snapshot(network)
    with torch.no_grad():
        network(pictures * 100)
        fake = network(pictures)
    assert not changed(before, network.state_dict())

    again = chosen.build(backbones.get("resnet18"), 2).eval()
    again.load_state_dict(before)
    assert torch.equal(again(pictures), fake)

    deployed = chosen.finish(network, [])
    assert not changed(before, network.state_dict())
    assert nn.functional.cosine_similarity(deployed.backbone(pictures), network.backbone(pictures)).min() > 0.99
    artifact.save(tmp_path, deployed, hparams(chosen), {})
    assert torch.equal(artifact.load(tmp_path).network(pictures), deployed(pictures))


def test_qat_folds_a_batch_norm_of_another_eps_and_holds_it_in_eval_mode(torchao):
    class Small(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, eps=0.5), nn.ReLU6(), nn.Flatten())

    body = Small()
    nn.init.constant_(body[1].running_var, 0.1)  # so that eps counts
    prepared = pt2e.prepare_qat(copy.deepcopy(body), "reference", reduce_range=False)
    prepared.train()
    prepared.batch_norms.eval()  # as strategy.batch_norm=eval has it
    pictures = torch.randn(2, 3, 224, 224)
    before = snapshot(prepared)
    with pt2e.observing(prepared):
        prepared(pictures)
    assert not [name for name in changed(before, prepared.state_dict()) if "running_" in name]
    fake = prepared.eval()(pictures)
    exact = body.eval()(pictures)
    step = 6 / 255
    assert (fake - exact).abs().max() < 4 * step
    assert (pt2e.convert(prepared, "reference")(pictures) - fake).abs().mean() < 0.1 * step
