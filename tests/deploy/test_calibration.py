"""One temperature: what it does to probabilities, what it leaves, and where it is kept."""

import json

import pytest
import torch
from torch.nn import functional as F

import hymtl
from hymtl import experiment, records
from hymtl.cli import main
from hymtl.deploy import artifact, calibration
from hymtl.deploy.evaluation import probabilities
from hymtl.errors import HymtlError
from hymtl.records import description, predictions
from hymtl.records.description import Description
from tests.conftest import prepare
from tests.deploy.test_artifact import sign


def overconfident(count=4000, factor=3.0):
    """Logits ``factor`` times what the labels, drawn by them, bear out."""
    generator = torch.Generator().manual_seed(0)
    honest = torch.randn(count, 4, generator=generator) * 2
    labels = torch.multinomial(honest.softmax(dim=1), 1, generator=generator).flatten()
    return honest * factor, labels


def settings(pictures, *more):
    return [
        "strategy=scratch", "backbone=garment_cnn", "data=folder", f"data.root={pictures}", "epochs=2",
        "trainer.enable_progress_bar=false", "data.workers=0", "~callbacks.pictures", "optim.lr=0.02", *more,
    ]  # fmt: skip


def test_the_temperature_is_how_much_too_confident_the_logits_are():
    logits, labels = overconfident()
    assert calibration.temperature(logits, labels) == pytest.approx(3.0, rel=0.1)
    assert calibration.temperature(logits / 6, labels) == pytest.approx(0.5, rel=0.1)


def test_it_is_the_one_of_least_loss():
    logits, labels = overconfident(300)
    best = calibration.temperature(logits, labels)
    loss = {factor: F.cross_entropy(logits / (best * factor), labels).item() for factor in (0.9, 1.0, 1.1)}
    assert min(loss, key=loss.get) == 1.0


def test_where_everything_is_right_nothing_is_fitted():
    logits = torch.eye(3)[[0, 1, 2, 0]]
    assert calibration.temperature(logits, logits.argmax(dim=1)) == 1.0


def test_the_calibration_error_falls_on_photos_that_fitted_nothing():
    logits, labels = overconfident()
    made = calibration.record(logits, labels, calibration.temperature(logits, labels))
    assert made.ece_before > 0.15 and made.ece_after < 0.03
    assert calibration.record(logits, labels, None).ece_after is None


def test_each_half_is_scaled_by_what_the_other_half_says():
    logits, labels = overconfident(7)
    first, second = calibration._halves(labels)
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(7))
    scaled = calibration.held_out(logits, labels)
    expected = probabilities(logits[first], calibration.temperature(logits[second], labels[second]))
    assert torch.equal(scaled[first], expected)


def test_unsure_counts_photos_below_a_threshold_and_right_ones_among_the_rest():
    given = torch.tensor([[0.9, 0.1], [0.3, 0.7], [0.8, 0.2], [0.45, 0.55]])
    right = torch.tensor([True, True, False, False])
    (one,) = calibration.unsure(given, right, [0.7])
    assert (one.photos, one.rest, one.right) == (1, 3, 2)


@pytest.mark.parametrize("choice", ["temperature", "null"])
def test_a_run_and_its_artifact_give_the_same_probabilities_and_the_classes_of_the_logits(
    config, pictures, tmp_path, choice
):
    cfg = config(*settings(pictures, f"calibration={choice}"))
    built = experiment.prepare(cfg)
    experiment.fit(built)
    made = experiment.record(built, cfg)
    deployed = built.module.deployed
    plain = deployed.val.logits.softmax(dim=1)
    guesses = predictions.read(tmp_path / "run" / "predictions.csv")
    given = torch.tensor([list(guess.probabilities.values()) for guess in guesses])
    assert [guess.guess for guess in guesses] == [made.dataset.classes[i] for i in plain.argmax(dim=1).tolist()]
    predictor = hymtl.load(tmp_path / "run")
    for guess in guesses[:3]:
        said = predictor(pictures / guess.photo)
        assert said.label == guess.guess
        assert list(said.probabilities.values()) == pytest.approx(list(guess.probabilities.values()), abs=1e-5)
    if choice == "null":
        torch.testing.assert_close(given, plain, atol=1e-6, rtol=0)
        assert predictor.artifact.temperature == 1.0 and made.calibration["float"].ece_after is None
        assert torch.equal(probabilities(deployed.val.logits, deployed.temperature), plain)
    else:
        fitted = made.calibration["float"].temperature
        assert (
            fitted
            == predictor.artifact.temperature
            == calibration.temperature(deployed.val.logits, deployed.val.labels)
        )
        torch.testing.assert_close(given, probabilities(deployed.val.logits, fitted), atol=1e-6, rtol=0)
    at = {one.below: one for one in made.unsure}
    assert at[0.8].photos + at[0.8].rest == len(guesses)


def test_int8_has_its_own_temperature_beside_that_of_float(fitted):
    result = fitted("quantized").result
    assert set(result["calibration"]) == {"float", "int8"}
    assert all(0 <= made["ece_before"] <= 1 for made in result["calibration"].values())
    assert set(fitted("qat").result["calibration"]) == {"float", "fake_quant", "int8"}


def test_an_artifact_from_before_there_were_temperatures_has_1(fitted, tmp_path):
    import shutil

    folder = shutil.copytree(fitted("frozen").folder / "artifact", tmp_path / "artifact")
    content = json.loads((folder / description.FILE).read_text())
    content.pop("temperature")
    content["scores"].pop("unsure")
    (folder / description.FILE).write_text(json.dumps(content))
    sign(folder)
    assert records.read(Description, folder / description.FILE).temperature == 1.0
    assert artifact.load(folder).temperature == 1.0


def test_predict_answers_unsure_below_the_threshold(fitted, pictures, capsys):
    run = str(fitted("frozen").folder)
    folder = str(pictures / "val")
    assert main(["predict", run, folder, "--unsure", "1", "--json"]) == 0
    said = capsys.readouterr()
    rows = json.loads(said.out)
    assert {row["label"] for row in rows if row["confidence"] < 1} == {"unsure"}
    assert all(max(row["probabilities"].values()) == row["confidence"] for row in rows)
    assert f"of {len(rows)} pictures" in said.err
    assert main(["predict", run, folder, "--unsure", "0.5"]) == 0
    said = capsys.readouterr()
    assert "unsure" not in said.out and "of 12 validation photos: 0 unsure" in said.err
    with pytest.raises(SystemExit):
        main(["predict", run, folder, "--unsure", "80"])
    assert "is no probability" in capsys.readouterr().err


def test_another_calibration_is_refused(config, pictures):
    with pytest.raises(HymtlError, match="calibration=platt: expected temperature or null"):
        prepare(config(*settings(pictures, "calibration=platt")))
