"""The tutorials' mathematics as plain PyTorch loops and networks, knowing nothing of hymtl.

Sources: PyTorch's transfer learning tutorial (``train_model``) and quantized transfer learning tutorial
(``create_combined_model``, quantization-aware training, conversion).
"""

import copy
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.ao import quantization as ao
from torchvision.models import quantization as quantizable
from torchvision.models import resnet18


@dataclass
class History:
    """Per epoch: losses and accuracies of both phases, and the learning rate it trained with."""

    train_loss: list[float] = field(default_factory=list)
    train_acc: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_acc: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    best_epoch: int = -1
    last: dict = field(default_factory=dict)  # weights and ranges after the last epoch


def train(network, loaders, optimizer, scheduler, epochs) -> History:
    """Train phase, scheduler step, val phase; the best accuracy's weights are loaded at the end.

    Of equal accuracies the lower loss wins: hymtl's rule, where the tutorial keeps the first.
    """
    history, best, best_weights = History(), (-1.0, 0.0), None
    criterion = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        for loader in loaders.values():
            loader.sampler.set_epoch(epoch)
        network.train()
        history.lr.append(optimizer.param_groups[0]["lr"])
        loss_sum = correct = count = 0
        for pictures, labels in loaders["train"]:
            optimizer.zero_grad()
            logits = network(pictures)
            loss = criterion(logits, labels)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(labels)
            correct += (logits.argmax(1) == labels).sum().item()
            count += len(labels)
        history.train_loss.append(loss_sum / count)
        history.train_acc.append(correct / count)
        scheduler.step()

        network.eval()
        loss_sum = correct = count = 0
        with torch.no_grad():
            for pictures, labels in loaders["val"]:
                logits = network(pictures)
                loss_sum += criterion(logits, labels).item() * len(labels)
                correct += (logits.argmax(1) == labels).sum().item()
                count += len(labels)
        history.val_loss.append(loss_sum / count)
        history.val_acc.append(correct / count)
        score = (history.val_acc[-1], -history.val_loss[-1])
        if score > best:
            best, history.best_epoch = score, epoch
            best_weights = copy.deepcopy(network.state_dict())
    history.last = copy.deepcopy(network.state_dict())
    network.load_state_dict(best_weights)
    return history


def float_resnet18(weights, classes, *, frozen: bool) -> nn.Module:
    """torchvision's plain resnet18 with a new ``fc``; the backbone's gradients off where ``frozen``."""
    network = resnet18()
    network.load_state_dict(weights)
    if frozen:
        for parameter in network.parameters():
            parameter.requires_grad = False
    network.fc = nn.Linear(512, classes)
    return network


def combined_model(body, classes) -> nn.Sequential:
    """Features up to the average pool between quant and dequant, flattened, then dropout and a new head."""
    features = nn.Sequential(
        body.quant, body.conv1, body.bn1, body.relu, body.maxpool,
        body.layer1, body.layer2, body.layer3, body.layer4, body.avgpool, body.dequant,
    )  # fmt: skip
    return nn.Sequential(features, nn.Flatten(1), nn.Sequential(nn.Dropout(0.5), nn.Linear(512, classes)))


def qat_resnet18(weights, classes) -> nn.Sequential:
    """Fused in train mode, combined, prepared with fbgemm's default QAT qconfig."""
    torch.backends.quantized.engine = "fbgemm"
    body = quantizable.resnet18()
    body.load_state_dict(weights)
    body.train()
    body.fuse_model(is_qat=True)
    network = combined_model(body, classes)
    network[0].qconfig = ao.get_default_qat_qconfig("fbgemm")
    return ao.prepare_qat(network, inplace=True)
