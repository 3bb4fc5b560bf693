"""Networks of timm: three families, one of them transformers, in float and in int8; random weights, 160 pixels."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from hymtl import backbones, strategies
from hymtl.backbones import cut, pretrained
from hymtl.errors import HymtlError
from hymtl.module import TransferModule
from hymtl.strategy import as_fixed
from tests.conftest import fit, prepare

timm = pytest.importorskip("timm", reason='needs timm: pip install -e ".[timm]"')

# timm's own networks for tests: half a million parameters at the most.
MODELS = ("test_resnet", "test_convnext", "test_vit")


def settings(model, pictures, strategy, *more):
    return [
        f"strategy={strategy}", "backbone=timm", f"backbone.model={model}", "backbone.weights=null", "data=folder",
        f"data.root={pictures}", "epochs=1", "data.workers=0", "data.batch_size=8", "trainer.enable_progress_bar=false",
        "trainer.accelerator=cpu", "~callbacks.pictures", *more,
    ]  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
def test_preprocessing_and_features_are_what_timm_says(model):
    backbone = backbones.get(f"timm/{model}")
    theirs = timm.create_model(model, num_classes=0).eval()
    expected = theirs.pretrained_cfg
    shape = backbone.preprocessing
    assert (shape.picture, shape.mean, shape.std) == (expected["input_size"], expected["mean"], expected["std"])
    assert shape.interpolation == expected["interpolation"]
    assert theirs(torch.zeros(1, *shape.picture)).shape == (1, backbone.features)


@pytest.mark.parametrize(
    ("model", "count", "last"),
    [
        ("test_resnet", 5, ("layer4",)),
        ("test_convnext", 4, ("stages.3", "head")),
        ("test_vit", 4, ("blocks.5", "norm")),  # of one resolution: quarters
        ("resnet18", 5, ("layer4.0", "layer4.1")),
    ],
)
def test_stages_are_timms_resolutions_and_have_every_weight_once(model, count, last):
    backbone = backbones.get(f"timm/{model}")
    assert len(backbone.stages) == count and backbone.stages[-1] == last
    body = backbone.build()
    named = [id(p) for stage in backbone.stages for name in stage for p in body.get_submodule(name).parameters()]
    assert len(named) == len(set(named))
    assert len(named) + len(list(body.parameters(recurse=False))) == len(list(body.parameters()))


@pytest.mark.parametrize("strategy", ["frozen", "finetune"])
@pytest.mark.parametrize("model", MODELS)
def test_a_network_of_timm_trains_and_its_artifact_loads(config, pictures, tmp_path, model, strategy):
    from hymtl.deploy import artifact

    module, trainer = fit(config(*settings(model, pictures, strategy)))
    assert module.hparams.backbone == f"timm/{model}"
    loaded = artifact.load(tmp_path / "run" / "artifact")
    batch, _ = trainer.datamodule.pictures.first_batch("val")
    assert torch.equal(loaded.network(batch), module.deployed.network(batch))
    again = TransferModule.load_from_checkpoint(tmp_path / "run" / "checkpoints" / "best.ckpt", map_location="cpu")
    torch.testing.assert_close(again.eval()(batch), loaded.network(batch), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("model", MODELS)
def test_partial_trains_the_last_stages_and_no_token_before_them(config, pictures, model):
    module, _, _ = prepare(config(*settings(model, pictures, "partial", "strategy.stages=2")))
    backbone = backbones.get(f"timm/{model}")
    trained = {name for stage in backbone.stages[-2:] for name in stage}
    for name, parameter in module.network.backbone.named_parameters():
        assert parameter.requires_grad == any(name.startswith(f"{unit}.") for unit in trained), name


class Looking(nn.Module):
    """Uses after its second layer what it had before it."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x):
        early = self.first(x)
        return self.second(early) + early


def test_a_network_is_cut_only_where_the_parts_give_what_the_whole_gives():
    body = Looking().eval()
    assert cut.holds(body, "first", (3, 8, 8)) and not cut.holds(body, "second", (3, 8, 8))
    assert cut.holds(as_fixed(backbones.get("timm/test_resnet").build()), "layer3", (3, 160, 160))


@pytest.mark.parametrize("strategy", ["quantized", "qat"])
def test_int8_by_pt2e_is_chosen_and_its_artifact_predicts_the_same_elsewhere(config, pictures, tmp_path, strategy):
    pytest.importorskip("torchao", reason='needs torchao: pip install -e ".[pt2e]"')
    module, trainer = fit(config(*settings("test_resnet", pictures, strategy, "strategy.engine=reference")))
    assert module.strategy.spec()["quantizer"] == "pt2e"
    batch, _ = trainer.datamodule.pictures.first_batch("val")
    torch.save((batch, module.deployed.network(batch)), tmp_path / "said.pt")
    script = (
        "import sys, torch; from pathlib import Path; from hymtl.deploy import artifact\n"
        "batch, said = torch.load(sys.argv[2]); network = artifact.load(Path(sys.argv[1])).network\n"
        "assert torch.equal(network(batch), said)"
    )
    files = [str(tmp_path / "run" / "artifact"), str(tmp_path / "said.pt")]
    subprocess.run([sys.executable, "-c", script, *files], check=True)


def test_auto_is_eager_where_the_network_can_be_fused():
    for name, expected in (("resnet18", "eager"), ("efficientnet_lite0", "eager")):
        chosen = strategies.create("qat", quantizer="auto")
        chosen.check(pretrained.find(name, None))
        assert chosen.spec()["quantizer"] == expected and chosen.engine != "auto" and chosen.reduce_range != "auto"
    with pytest.raises(HymtlError, match="timm/test_resnet cannot be quantized with strategy.quantizer=eager.*stubs"):
        strategies.create("qat", quantizer="eager").check(pretrained.find("timm/test_resnet", None))


def test_weights_come_from_a_file_with_or_without_its_classifier(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    theirs = timm.create_model("test_resnet").eval()
    safetensors.save_file(theirs.state_dict(), tmp_path / "whole.safetensors")
    torch.save({"state_dict": theirs.state_dict()}, tmp_path / "whole.pth")
    pictures = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        expected = theirs.forward_head(theirs.forward_features(pictures), pre_logits=True)
    for name in ("whole.safetensors", "whole.pth"):
        found = pretrained.find("timm/test_resnet", str(tmp_path / name))
        body = found.backbone.build().eval()
        body.load_state_dict(found.state_dict())
        with torch.no_grad():
            torch.testing.assert_close(body(pictures), expected)
    with pytest.raises(HymtlError, match="whole.pth holds no weights of timm/test_vit"):
        pretrained.find("timm/test_vit", str(tmp_path / "whole.pth"))
    (tmp_path / "broken.safetensors").write_bytes(b"not tensors")
    with pytest.raises(HymtlError, match="broken.safetensors cannot be read"):
        pretrained.find("timm/test_resnet", str(tmp_path / "broken.safetensors"))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("resnet81", "timm .* has no such model. Did you mean resnet18"),
        ("resnet18.a9_in1k", "a9_in1k.*Did you mean resnet18.a3_in1k"),
        ("zzz", "timm.list_models"),
    ],
)
def test_a_model_that_timm_lacks_is_refused_with_what_is_close(model, said):
    with pytest.raises(HymtlError, match=f"backbone.model={model}.*{said}"):
        backbones.get(f"timm/{model}")


def test_without_timm_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(HymtlError, match=r'pip install "hymtl\[timm\]"'):
        backbones.get("timm/resnet34")


def test_weights_that_cannot_be_downloaded_are_an_error_with_remedies(monkeypatch, tmp_path):
    from huggingface_hub.errors import LocalEntryNotFoundError

    def refuse(repository, name):
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(HymtlError, match="ImageNet weights of timm/test_vit.*no connection.*backbone.weights=null"):
        pretrained.find("timm/test_vit", "imagenet")


@pytest.mark.parametrize("model", ["test_resnet", "test_efficientnet"])
def test_qat_by_pt2e_trains_networks_that_begin_with_scales_of_0_or_share_a_variance(model):
    pytest.importorskip("torchao", reason='needs torchao: pip install -e ".[pt2e]"')
    from hymtl.quantization import pt2e

    backbone = backbones.get(f"timm/{model}")
    prepared = pt2e.prepare_qat(backbone.build(), "reference", False, picture=backbone.preprocessing.picture)
    with pt2e.observing(prepared):
        assert prepared(torch.randn(2, *backbone.preprocessing.picture)).isfinite().all()
