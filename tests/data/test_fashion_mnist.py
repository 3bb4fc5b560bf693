"""Fashion-MNIST from small files in the real IDX format, up to a trained network."""

import gzip
import struct

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hymtl import experiment
from hymtl.data.sources import find_photos
from hymtl.errors import HymtlError
from tests.conftest import fit


def write_idx(folder, count, seed, *, labels=None):
    """Garments that a small network can learn: class k is bright in its own rows."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % 10
    pixels = torch.randint(0, 100, (count, 28, 28), generator=generator, dtype=torch.uint8)
    for index, target in enumerate(targets):
        pixels[index, 2 * target + 2 : 2 * target + 5] = 255
    stem = "train" if seed == 0 else "t10k"
    images = struct.pack(">IIII", 0x803, count, 28, 28) + pixels.numpy().tobytes()
    (folder / f"{stem}-images-idx3-ubyte").write_bytes(images)
    kept = targets[: labels or count].to(torch.uint8)
    (folder / f"{stem}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, len(kept)) + kept.numpy().tobytes())
    return pixels, targets


@pytest.fixture
def garments(tmp_path):
    raw = tmp_path / "data" / "FashionMNIST" / "raw"
    return tmp_path / "data", write_idx(raw, 200, seed=0), write_idx(raw, 50, seed=1)


def test_pictures_labels_and_classes_come_as_they_are_in_the_files(garments):
    root, (pixels, targets), _ = garments
    found = find_photos("fashion_mnist", str(root))
    assert found.record["train"] == 200 and found.record["val"] == 50
    assert found.classes[0] == "T-shirt/top" and len(found.classes) == 10
    photo = found.splits["train"][7]
    assert torch.equal(photo.decode()[0], pixels[7]) and photo.label == targets[7]


def test_the_introductions_network_learns_with_both_losses_in_one_chart(config, garments):
    root, *_ = garments
    cfg = config(
        "experiment=tutorial/garments", f"data.root={root}", "epochs=4", "optim.lr=1e-2", "data.workers=0",
        "trainer.enable_progress_bar=false",
    )  # fmt: skip
    result = experiment.run(cfg)
    assert result.backbone.name == "garment_cnn" and result.best.val_acc > 0.7
    events = EventAccumulator(cfg.run_dir).Reload()
    losses = [event.value for event in events.Scalars("val/loss")]
    assert losses[-1] < losses[0]
    for stage in ("train", "val"):  # two runs of one chart
        drawn = [event.value for event in EventAccumulator(f"{cfg.run_dir}/{stage}").Reload().Scalars("loss")]
        assert drawn == [event.value for event in events.Scalars(f"{stage}/loss")]


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: (raw / "train-images-idx3-ubyte").write_bytes(b"no idx"),
        lambda raw: write_idx(raw, 200, seed=0, labels=100),
    ],
)
def test_files_that_are_not_as_they_must_be_are_an_error_with_the_folders_name(garments, damage):
    root, *_ = garments
    damage(root / "FashionMNIST" / "raw")
    with pytest.raises(HymtlError, match=str(root)):
        find_photos("fashion_mnist", str(root))


def test_colour_networks_take_grey_pictures_and_the_other_way_round(config, garments, pictures):
    from hymtl.backbones import get
    from hymtl.data.batches import PictureBatches

    root, *_ = garments
    colour = PictureBatches(find_photos("fashion_mnist", str(root)), get("resnet18").preprocessing, workers=0)
    assert next(iter(colour.loader("val")))[0].shape[1:] == (3, 224, 224)
    grey = PictureBatches(find_photos("folder", str(pictures)), get("garment_cnn").preprocessing, workers=0, resize=28)
    assert next(iter(grey.loader("val")))[0].shape == (12, 1, 28, 28)


def test_compressed_files_are_unpacked(garments):
    root, *_ = garments
    raw = root / "FashionMNIST" / "raw"
    for file in list(raw.iterdir()):
        with gzip.open(f"{file}.gz", "wb") as packed:
            packed.write(file.read_bytes())
    assert find_photos("fashion_mnist", str(root)).record["train"] == 200


def test_quantizing_what_cannot_be_quantized_is_refused(config, garments):
    root, *_ = garments
    cfg = config("strategy=qat", "backbone=garment_cnn", "data=fashion_mnist", f"data.root={root}", "data.resize=28")
    with pytest.raises(HymtlError, match="backbone=garment_cnn cannot be quantized"):
        fit(cfg)
