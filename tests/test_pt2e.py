"""strategy.quantizer=pt2e: torchao's graphs instead of torch.ao.quantization's modules."""

import copy
import sys

import pytest
import torch
from torch import nn

from hymtl import artifact, backbones, strategies
from hymtl.backbones import Pretrained
from hymtl.data import PhotoDataModule
from hymtl.data.photos import read_folder
from hymtl.errors import HymtlError
from hymtl.evaluation import score

STRATEGIES = ("quantized", "ptq", "qat")


@pytest.fixture
def torchao():
    pytest.importorskip("torchao", reason='needs torchao: pip install -e ".[pt2e]"')


def transferred(strategy: str, backbone: str = "resnet18", batches=None, **options):
    torch.manual_seed(0)  # the same random weights for both quantizers
    recipe = strategies.create(strategy, **{"quantizer": "pt2e", **options})
    batches = [torch.randn(2, 3, 224, 224)] if batches is None else batches
    return recipe, recipe.transfer(Pretrained(backbones.get(backbone), "random", None), 2, batches)


def hparams(recipe, backbone: str = "resnet18") -> dict:
    return {"backbone": backbone, "strategy": recipe.spec(), "classes": ["ants", "bees"], "resize": 224, "sources": {}}


def changed(before: dict, after: dict) -> list[str]:
    return [name for name, value in before.items() if not torch.equal(value, after[name])]


def snapshot(network: nn.Module) -> dict:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_without_torchao_the_error_says_what_to_install(monkeypatch, strategy):
    for name in [name for name in sys.modules if name.split(".")[0] == "torchao"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchao", None)
    with pytest.raises(HymtlError, match=r'quantizer=pt2e needs torchao.*pip install -e "\.\[pt2e\]"'):
        strategies.create(strategy, quantizer="pt2e")
    strategies.create(strategy)  # the default needs none


def test_errors_name_the_setting_and_a_remedy(torchao):
    with pytest.raises(HymtlError, match="strategy.quantizer=pte2.*Did you mean 'pt2e'"):
        strategies.create("qat", quantizer="pte2")
    with pytest.raises(HymtlError, match="strategy.engine=fbgemm.*Choose from: auto, onednn, reference"):
        strategies.create("qat", quantizer="pt2e", engine="fbgemm")
    with pytest.raises(HymtlError, match="strategy.source=calibrated"):
        transferred("quantized", source="official")


def test_an_exported_graph_sees_pictures_of_the_size_that_every_backbone_has(torchao):
    from hymtl.quantization_pt2e import PICTURE

    quantizable = [backbone.preprocessing for backbone in backbones.BACKBONES.values() if backbone.quantizable]
    assert {(p.channels, p.size, p.size) for p in quantizable} == {PICTURE}


@pytest.fixture(scope="module")
def trained(pictures):
    """A float resnet18 that tells drawn ants from bees, as a state dict, and the pictures."""
    data = PhotoDataModule(
        read_folder(pictures), backbones.get("resnet18").preprocessing, batch_size=8, resize=224, workers=0
    )
    torch.manual_seed(0)
    network = strategies.create("finetune").build(backbones.get("resnet18"), 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    batches = list(data.train_dataloader())
    for _ in range(4):
        for images, labels in batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()
    with torch.no_grad():  # statistics of batch norm that suit the last weights
        for images, _ in batches * 3:
            network(images)
    return network.eval().state_dict(), data


def test_ptq_scores_as_in_eager_mode_and_its_artifact_as_what_was_saved(torchao, trained, tmp_path):
    weights, data = trained
    photos = [*data.train_dataloader(), *data.val_dataloader()]
    scores = {}
    for quantizer in ("eager", "pt2e"):
        recipe = strategies.create("ptq", quantizer=quantizer)
        network = recipe.build(backbones.get("resnet18"), 2)
        network.load_state_dict(weights)
        scores["float"] = score(network, photos)
        network = recipe.finish(network, data.calibration_batches())
        scores[quantizer] = score(network, photos)
    assert scores["float"].accuracy > 0.8  # it was trained, so its logits are no near ties
    assert abs(scores["pt2e"].accuracy - scores["eager"].accuracy) <= 1 / 36
    for quantizer in ("eager", "pt2e"):
        similarity = nn.functional.cosine_similarity(scores[quantizer].logits, scores["float"].logits)
        assert similarity.mean() > 0.99

    artifact.save(tmp_path, network, hparams(recipe))
    float_bytes = sum(value.nbytes for value in weights.values())
    assert (tmp_path / artifact.WEIGHTS).stat().st_size < 0.26 * float_bytes
    assert torch.equal(score(artifact.load(tmp_path).network, photos).logits, scores["pt2e"].logits)


def test_onednn_kernels_compute_what_the_reference_graph_says(torchao):
    from hymtl.quantization_pt2e import ENGINES, choose_engine

    if choose_engine() != ENGINES[0]:
        pytest.skip("needs an x86 CPU")
    _, network = transferred("quantized")
    assert {name for name, value in network.named_parameters() if value.requires_grad} == {"head.1.weight", "head.1.bias"}
    pictures = torch.randn(3, 3, 224, 224)
    kernels, reference = network.backbone(pictures), network.backbone.graph(pictures)
    assert torch.nn.functional.cosine_similarity(kernels, reference).min() > 0.999
    assert any("qconv" in str(node.target) for node in network.backbone._kernels.graph.nodes)
    copy.deepcopy(network)(pictures[:1])  # another batch size, and kernels that a copy makes anew


def test_qat_trains_observes_in_training_alone_and_deploys_what_it_scored(torchao, tmp_path):
    recipe, network = transferred("qat", engine="reference", batch_norm="train")
    network.train()
    pictures = torch.randn(4, 3, 224, 224)
    with recipe.training(network):
        network(pictures).square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    before = snapshot(network)
    with recipe.training(network):
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
        fake = network(pictures * 100), network(pictures)[:3]
    assert not changed(before, network.state_dict())

    again = recipe.build(backbones.get("resnet18"), 2).eval()
    again.load_state_dict(before)
    assert torch.equal(again(pictures)[:3], fake[1])

    deployed = recipe.finish(network, [])
    assert not changed(before, network.state_dict())
    assert (deployed(pictures[:3]) - fake[1]).abs().max() < 0.02 * fake[1].abs().max()
    artifact.save(tmp_path, deployed, hparams(recipe))
    assert torch.equal(artifact.load(tmp_path).network(pictures[:3]), deployed(pictures[:3]))


def test_qat_folds_a_batch_norm_of_another_eps_and_holds_it_in_eval_mode(torchao):
    class Small(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, eps=0.5), nn.ReLU6(), nn.Flatten())

    from hymtl import quantization_pt2e

    body = Small()
    nn.init.constant_(body[1].running_var, 0.1)  # so that eps counts
    prepared = quantization_pt2e.prepare_qat(copy.deepcopy(body), "reference", reduce_range=False)
    prepared.train()
    prepared.batch_norms.eval()  # as strategy.batch_norm=eval has it
    pictures = torch.randn(2, 3, 224, 224)
    before = snapshot(prepared)
    with quantization_pt2e.observing(prepared):
        prepared(pictures)
    assert not [name for name in changed(before, prepared.state_dict()) if "running_" in name]
    fake = prepared.eval()(pictures)
    exact = body.eval()(pictures)
    step = 6 / 255
    assert (fake - exact).abs().max() < 4 * step
    assert (quantization_pt2e.convert(prepared, "reference")(pictures) - fake).abs().mean() < 0.1 * step
