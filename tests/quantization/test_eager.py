"""Quantization that stays close to float: bias correction, and engines that cannot overflow."""

import copy

import pytest
import torch
from torch import nn
from torch.ao import quantization as ao
from torch.nn import functional as F

from hymtl import backbones
from hymtl.backbones import fusing, pretrained
from hymtl.backbones.families.efficientnet_lite import ConvNorm
from hymtl.data import transforms
from hymtl.data.batches import PictureBatches
from hymtl.data.sources import find_photos
from hymtl.deploy import evaluation
from hymtl.deploy.fidelity import cost, worst_layers
from hymtl.quantization import eager
from hymtl.quantization.bias_correction import channel_means, correct_bias

ENGINES = [name for name in ("onednn", "x86", "fbgemm") if name in torch.backends.quantized.supported_engines]


def test_bias_correction_gives_each_channel_its_mean_back_and_changes_nothing_else():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(4 * 12 * 12, 5)
    ).eval()
    pictures = torch.rand(16, 3, 16, 16)
    expected = network(pictures).mean(0)
    before = copy.deepcopy(network)

    def coarse(layer):  # far coarser than int8, and biased
        return (layer.weight * 8).floor() / 8

    with channel_means(network) as means, torch.no_grad():
        for batch in pictures.split((10, 6)):
            network(batch)
    correct_bias(network, coarse, pictures, means)
    assert all(torch.equal(network[i].weight, before[i].weight) for i in (0, 2, 4))
    for i in (0, 2, 4):
        assert not torch.equal(network[i].bias, before[i].bias)
        network[i].weight.data = coarse(network[i])
        before[i].weight.data = coarse(before[i])
    assert (network(pictures).mean(0) - expected).abs().max() < 1e-4
    assert (before(pictures).mean(0) - expected).abs().max() > 0.1


def test_the_histogram_of_channels_last_activations_is_torchs():
    ours, theirs = eager.HistogramObserver(), ao.HistogramObserver()
    for size in (1, 3, 2):  # the range grows, then holds
        activations = (torch.randn(4, 8, 9, 9) * size).contiguous(memory_format=torch.channels_last)
        assert ours(activations) is activations
        theirs(activations)
    assert torch.equal(ours.histogram, theirs.histogram)
    assert (ours.min_val, ours.max_val) == (theirs.min_val, theirs.max_val)


@pytest.mark.parametrize("engine", ENGINES)
def test_depthwise_sums_do_not_overflow(engine):
    """Two large weights side by side on bright pictures: what saturates FBGEMM's 16-bit sums."""

    class Depthwise(nn.Sequential):
        def fuse_model(self, is_qat):
            self[1].fuse_model(is_qat)

    block = ConvNorm(128, 128, kernel=3, groups=128, activate=False)
    nn.init.constant_(block.conv.weight, 0.5)
    network = Depthwise(fusing.QuantStub(), block, fusing.DeQuantStub()).eval()
    pictures = torch.full((2, 128, 8, 8), 1.0)
    expected = network(pictures)
    int8 = eager.post_training(network, engine, [pictures])
    assert (int8(pictures) - expected).abs().max() < 0.05 * expected.max()


# In between, the default suite takes depthwise layers in the engine that could overflow in them.
CASES = [
    pytest.param(
        backbone, engine, marks=[] if (backbone, engine) == ("efficientnet_lite0", "x86") else pytest.mark.slow
    )
    for backbone in ("resnet18", "efficientnet_lite0")
    for engine in ENGINES
]


@pytest.mark.parametrize(("backbone", "engine"), CASES)
def test_int8_features_stay_close_to_float(backbone, engine, photos, resnet18_weights):
    """Cosine at least 0.99 on validation photos, calibrated on training photos only."""
    found = pretrained.find(backbone, "imagenet" if backbone == "efficientnet_lite0" else str(resnet18_weights))
    data = PictureBatches(find_photos("folder", str(photos)), found.backbone.preprocessing, batch_size=16, workers=0)
    calibration = list(data.calibration_batches())
    validation = data.dataset("val")
    body = found.backbone.build()
    body.load_state_dict(found.state_dict())
    chosen = torch.stack([validation[0, index][0] for index in range(0, len(validation), 10)])
    pictures = transforms.normalize(chosen, found.backbone.preprocessing)
    with torch.no_grad():
        expected = body.eval()(pictures)
        int8 = eager.post_training(copy.deepcopy(body), engine, calibration)
        assert F.cosine_similarity(int8(pictures), expected).mean() >= 0.99


@pytest.mark.parametrize("memory", [torch.channels_last, torch.contiguous_format])
def test_padding_int8_is_torchs_own_to_the_bit(memory):
    x = torch.quantize_per_tensor(torch.randn(2, 5, 7, 6), 0.02, 113, torch.quint8).contiguous(memory_format=memory)
    for activations in (x, x[1:, :, 2:]):  # a part of a tensor too
        padded, expected = fusing.pad(activations, (0, 1, 2, 1)), F.pad(activations, (0, 1, 2, 1))
        assert torch.equal(padded.int_repr(), expected.int_repr())
        assert (padded.q_scale(), padded.q_zero_point()) == (expected.q_scale(), expected.q_zero_point())


def test_the_cost_counts_flips_each_way():
    labels = torch.tensor([0, 0, 1, 1])
    before = torch.tensor([[2.0, 0], [2, 0], [2, 0], [0, 2]])
    after = torch.tensor([[2.0, 0], [0, 2], [0, 2], [0, 5]])
    scores = {name: evaluation.Score(logits, logits, labels) for name, logits in (("float", before), ("int8", after))}
    record = cost(scores, ["a", "b", "c", "d"])
    assert record["val_acc"] == {"float": 0.75, "int8": 0.75}
    (step,) = record["steps"]
    assert (step["lost"], step["gained"]) == (["b"], ["c"])
    assert step["logit_error"] == {"mean": pytest.approx(11 / 8), "max": 3}
    assert step["feature_cosine"] == {"mean": pytest.approx(0.5), "min": 0}


def test_the_noisiest_layer_is_the_one_that_was_spoiled():
    body = backbones.get("resnet18").build()
    pictures = torch.rand(2, 3, 64, 64)
    reference = eager.fused(body)
    int8 = eager.post_training(body, "onednn", [pictures])
    assert {layer["sqnr_db"] > 10 for layer in worst_layers(reference, int8, pictures)} == {True}
    reference.layer3[0].conv2.bias.data += 100
    assert worst_layers(reference, int8, pictures)[0]["layer"] == "layer3.0.conv2"
