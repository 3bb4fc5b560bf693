"""The tutorials' training loops in plain PyTorch, knowing nothing of hymtl: what its recipes are measured against.

Photos are decoded from disk in every epoch by the tutorials' numbers of worker processes, in float32, on the CPU.
Beyond what the tutorials do there are only clocks: in the loop, and around the dataset's two acts.

Sources: PyTorch's transfer learning tutorial and quantized transfer learning tutorial.
"""

import argparse
import copy
import json
import time
from pathlib import Path

import torch
from torch import Tensor, nn, optim
from torch.ao import quantization as ao
from torch.utils.data import DataLoader
from torchvision import datasets, models, transforms

RECIPES = ("finetune", "frozen", "quantized", "qat")
BACKBONES = ("resnet18", "resnet50")  # with a last layer called fc, as the tutorials' has


class TimedFolder(datasets.ImageFolder):
    """``seconds`` (photos, 2), in memory that workers share: those of decoding and of transforming each photo."""

    def __init__(self, root: Path, transform: transforms.Compose) -> None:
        super().__init__(str(root), transform)
        self.seconds = torch.zeros(len(self.samples), 2).share_memory_()

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.samples[index]
        began = time.monotonic()
        picture = self.loader(path)
        decoded = time.monotonic()
        picture = self.transform(picture)
        self.seconds[index] = torch.tensor([decoded - began, time.monotonic() - decoded])
        return picture, label


def load_photos(root: Path, recipe: str) -> dict[str, DataLoader]:
    ending = [transforms.ToTensor(), transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    if recipe in ("finetune", "frozen"):
        batch_size, workers, resize = 4, 4, 256
        crop: list = [transforms.RandomResizedCrop(224)]
    else:
        batch_size, workers, resize = 16, 8, 224
        crop = [transforms.Resize(224), transforms.RandomCrop(224)]
    steps = {
        "train": [*crop, transforms.RandomHorizontalFlip(), *ending],
        "val": [transforms.Resize(resize), transforms.CenterCrop(224), *ending],
    }
    return {
        phase: DataLoader(
            TimedFolder(root / phase, transforms.Compose(steps[phase])),
            batch_size=batch_size,
            shuffle=True,
            num_workers=workers,
        )
        for phase in ("train", "val")
    }


def build(recipe: str, backbone: str, weights: str | None, int8: str | None, engine: str, classes: int) -> nn.Module:
    if recipe in ("finetune", "frozen"):
        network = load_weights(getattr(models, backbone)(), weights)
        if recipe == "frozen":
            for parameter in network.parameters():
                parameter.requires_grad = False
        network.fc = nn.Linear(network.fc.in_features, classes)
        return network
    body = load_weights(getattr(models.quantization, backbone)(weights=None, quantize=False), weights)
    width, body.fc = body.fc.in_features, nn.Identity()
    body = fake_quantized(body) if recipe == "qat" else quantized(body, int8, engine)
    return nn.Sequential(body, nn.Sequential(nn.Dropout(0.5), nn.Linear(width, classes)))


def load_weights(network: nn.Module, file: str | None) -> nn.Module:
    if file:
        state = torch.load(file, map_location="cpu", weights_only=True)
        unfit = network.load_state_dict({k: v for k, v in state.items() if not k.startswith("fc.")}, strict=False)
        if unfit.unexpected_keys or set(unfit.missing_keys) - {"fc.weight", "fc.bias"}:
            raise SystemExit(f"{file} does not fit this network")
    return network


def fake_quantized(body: nn.Module) -> nn.Module:
    torch.backends.quantized.engine = "fbgemm"
    body.train()
    body.fuse_model(is_qat=True)
    body.qconfig = ao.get_default_qat_qconfig("fbgemm")
    return ao.prepare_qat(body, inplace=True)


def quantized(body: nn.Module, state: str, engine: str) -> nn.Module:
    """The int8 architecture, as torchvision builds it, with the weights and ranges of the file ``state``."""
    torch.backends.quantized.engine = engine
    body.eval()
    body.fuse_model(is_qat=False)
    body.qconfig = ao.get_default_qconfig(engine)
    ao.prepare(body, inplace=True)
    with torch.no_grad():
        body(torch.zeros(1, 3, 224, 224))  # the observers want to have seen something
    ao.convert(body, inplace=True)
    body.load_state_dict(torch.load(state, weights_only=True))
    return body


def choose_optimizer(network: nn.Module, recipe: str) -> tuple[optim.Optimizer, optim.lr_scheduler.StepLR]:
    rate, decay, step, gamma = {"quantized": (1e-2, 0, 7, 0.1), "qat": (1e-3, 0.1, 5, 0.3)}.get(
        recipe, (1e-3, 0, 7, 0.1)
    )
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = optim.SGD(trained, lr=rate, momentum=0.9, weight_decay=decay)
    return optimizer, optim.lr_scheduler.StepLR(optimizer, step_size=step, gamma=gamma)


def fit(network: nn.Module, loaders: dict, optimizer: optim.Optimizer, scheduler, epochs: int) -> list[dict]:
    """Both phases in every epoch; the weights of the best validation accuracy are in ``network`` at the end."""
    best_accuracy, best_weights, record = -1.0, None, []
    for number in range(epochs):
        epoch = {"start": time.monotonic(), "waiting": 0.0, "forward": 0.0, "backward": 0.0}
        train_epoch(network, loaders["train"], optimizer, epoch)
        scheduler.step()
        began = time.monotonic()
        accuracy = validate(network, loaders["val"])
        epoch["validation"] = time.monotonic() - began
        if accuracy > best_accuracy:
            best_accuracy, best_weights = accuracy, copy.deepcopy(network.state_dict())
        epoch["val_acc"], epoch["end"] = accuracy, time.monotonic()
        decode, augment = sum(loader.dataset.seconds.sum(0) for loader in loaders.values()).tolist()
        record.append(epoch | {"decode": decode, "augment": augment})
        print(f"epoch {number}: validation accuracy {accuracy:.3f}")
    network.load_state_dict(best_weights)
    return record


def train_epoch(network: nn.Module, loader: DataLoader, optimizer: optim.Optimizer, epoch: dict) -> None:
    network.train()  # everything, so the batch norm of a frozen backbone moves
    criterion = nn.CrossEntropyLoss()
    running_loss = running_correct = 0.0
    mark = time.monotonic()
    for pictures, labels in loader:
        loaded = time.monotonic()
        optimizer.zero_grad()
        logits = network(pictures)
        loss = criterion(logits, labels)
        computed = time.monotonic()
        loss.backward()
        optimizer.step()
        running_loss += loss.item() * len(labels)
        running_correct += (logits.argmax(1) == labels).sum().item()
        epoch["waiting"] += loaded - mark
        epoch["forward"] += computed - loaded
        mark = time.monotonic()
        epoch["backward"] += mark - computed
    count = len(loader.dataset)
    print(f"training loss {running_loss / count:.4f}, accuracy {running_correct / count:.3f}")


@torch.no_grad()
def validate(network: nn.Module, loader: DataLoader) -> float:
    network.eval()
    criterion = nn.CrossEntropyLoss()
    running_loss = running_correct = 0.0
    for pictures, labels in loader:
        logits = network(pictures)
        running_loss += criterion(logits, labels).item() * len(labels)
        running_correct += (logits.argmax(1) == labels).sum().item()
    print(f"validation loss {running_loss / len(loader.dataset):.4f}")
    return running_correct / len(loader.dataset)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--backbone", choices=BACKBONES, default="resnet18")
    parser.add_argument("--weights", help="a float state dict; else random")
    parser.add_argument("--int8", help="quantized: the int8 backbone's state dict")
    parser.add_argument("--engine", default="x86", help="quantized: the engine it was made for")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--record", type=Path, required=True, help="where the times go, as JSON")
    options = parser.parse_args()

    loaders = load_photos(options.photos, options.recipe)
    classes = len(loaders["train"].dataset.classes)
    network = build(options.recipe, options.backbone, options.weights, options.int8, options.engine, classes)
    optimizer, scheduler = choose_optimizer(network, options.recipe)
    epochs = fit(network, loaders, optimizer, scheduler, options.epochs)
    if options.recipe == "qat":
        ao.convert(network.cpu().eval(), inplace=False)
    options.record.write_text(json.dumps({"epochs": epochs, "decode_at_start": 0.0, "reached": None}))


if __name__ == "__main__":
    main()
