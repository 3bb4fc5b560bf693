"""What a run logged, read back from its TensorBoard events."""

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import IMAGES, EventAccumulator

SCALARS = ("train/loss", "train/acc", "val/loss", "val/acc", "lr")


def history(run_dir: Path) -> dict[str, list[float]]:
    """Each scalar's values, in the order of the epochs; a resumed run's are those that count."""
    events = EventAccumulator(str(run_dir), size_guidance={IMAGES: 1}).Reload()
    logged = set(events.Tags()["scalars"])
    return {
        tag: list({event.step: event.value for event in events.Scalars(tag)}.values())
        for tag in SCALARS
        if tag in logged
    }
