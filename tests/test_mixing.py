"""Mixing, distortions and step-wise schedules: random by key alone, so resuming and workers change nothing."""

import pytest
import torch

from hymtl import experiment, mixing
from hymtl.data.distortions import DISTORTIONS
from hymtl.schedulers import one_cycle, warmup_cosine

SMALL = [
    "strategy=scratch", "backbone=garment_cnn", "data=folder", "data.resize=32", "data.augmentation=random_crop",
    "epochs=3", "data.workers=0", "trainer.accelerator=cpu", "~callbacks.pictures", "logger=csv", "optim.lr=0.05",
]  # fmt: skip
CASES = {
    "mixup": ["data.mixing=mixup"],
    "cutmix": ["data.mixing=cutmix"],
    "rand_augment": ["data.distortion=rand_augment"],
    "colour_jitter": ["data.distortion=colour_jitter"],
    "one_cycle": ["scheduler=one_cycle"],
    "warmup": ["scheduler=warmup"],
    "cosine": ["scheduler=cosine"],
    "all": ["data.mixing=mixup", "data.distortion=rand_augment", "scheduler=one_cycle"],
}


class Killed(Exception):
    """What ends a process in the middle."""


@pytest.fixture
def fit(config, pictures, tmp_path):
    """A small run in a folder of its own; ``stop`` ends it as that epoch begins."""

    def fitted(*words, folder, stop=None, resume=False):
        cfg = config(*SMALL, f"data.root={pictures}", *words)
        cfg.run_dir = str(tmp_path / folder)
        built = experiment.prepare(cfg)
        start = built.module.on_train_epoch_start

        def started():
            if built.module.current_epoch == stop:
                raise Killed
            start()

        built.module.on_train_epoch_start = started
        last = tmp_path / folder / "checkpoints" / "last.ckpt"
        experiment.fit(built, str(last) if resume else None)
        return built.module.state_dict()

    return fitted


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("case", CASES)
def test_resuming_equals_never_having_stopped(fit, case):
    whole = fit(*CASES[case], folder="whole")
    with pytest.raises(Killed):
        fit(*CASES[case], folder="broken", stop=2)
    assert same(whole, fit(*CASES[case], folder="broken", resume=True))
    assert not same(whole, fit(folder="plain"))


def test_workers_change_nothing(fit):
    alone = fit(*CASES["all"], folder="alone")
    assert same(alone, fit(*CASES["all"], "data.workers=2", folder="workers"))


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_mixed_batch_has_the_shares_it_tells(kind):
    """Pictures of one value each: a mixed one's mean says how much of the other is in it."""
    pictures = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 20, 30).contiguous()
    for batch in range(20):
        mixed, others, share = mixing.mix(pictures, kind, 0, 1, batch)
        expected = share * torch.arange(6.0) + (1 - share) * torch.arange(6.0)[others]
        assert torch.allclose(mixed.mean(dim=(1, 2, 3)), expected, atol=1e-5)
        assert 0.5 <= share <= 1
        again = mixing.mix(pictures, kind, 0, 1, batch)
        assert torch.equal(mixed, again[0]) and share == again[2]
    assert not torch.equal(mixed, mixing.mix(pictures, kind, 1, 1, batch)[0])


@pytest.mark.parametrize("name", DISTORTIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_distortion_draws_from_its_generator_alone(name, channels):
    picture = torch.randint(0, 256, (channels, 24, 24), dtype=torch.uint8)
    state = torch.get_rng_state()
    drawn = [DISTORTIONS[name](picture, torch.Generator().manual_seed(seed)) for seed in (0, 0, *range(1, 40))]
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(drawn[0], drawn[1])
    assert len({tuple(one.flatten().tolist()) for one in drawn}) > 10
    assert all(one.shape == picture.shape and one.dtype == torch.uint8 for one in drawn)


@pytest.mark.parametrize("make", [one_cycle, warmup_cosine])
def test_each_group_rises_to_its_own_rate_and_falls(make):
    head, body = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = torch.optim.SGD([{"params": [head]}, {"params": [body], "lr": 0.01}], lr=0.1, momentum=0.9)
    scheduler = make(optimizer, total_steps=50)
    rates = []
    for _ in range(50):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        if len(rates) < 50:
            scheduler.step()
    for group, peak in enumerate((0.1, 0.01)):
        values = [rate[group] for rate in rates]
        assert max(values) == pytest.approx(peak, rel=0.02)
        assert values[0] < peak / 2 and values[-1] < peak / 50
