"""What users would otherwise train: the paper's net in plain PyTorch, and torchvision's AlexNet."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD

from alexnet.models.numerics import prepare_process
from benchmarks.measure import Contender
from benchmarks.precisions import the_device
from benchmarks.steps import CLASSES, random_batch, timed


def plain(batch: int, threads: int) -> Contender:
    """The same net of torch's own layers in float32, as public code writes it and as PyTorch comes; images a second."""
    torch.set_num_threads(threads)
    net = plain_net().to(the_device())
    return timed(_public_step(net, SGD(net.parameters(), 0.01, 0.9, weight_decay=0.0005), batch, 227), batch)


def torchvision(batch: int, threads: int) -> Contender:
    """torchvision's AlexNet in float32 as it comes: one tower, 224 crops, no normalisation; images a second."""
    torch.set_num_threads(threads)
    net = _torchvision_net()
    return timed(_public_step(net, SGD(net.parameters(), 0.01, 0.9, weight_decay=0.0005), batch, 224), batch)


def best_torchvision(precision: str, batch: int, threads: int) -> Contender:
    """The same with all that makes it quick: bfloat16 where there is any, channels last, memory kept between steps, fused SGD.

    On a GPU it is compiled too.
    """
    prepare_process(threads)
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = True
    net = _torchvision_net().to(memory_format=torch.channels_last)
    if the_device().type == "cuda":
        net.compile()
    optimizer = SGD(net.parameters(), 0.01, 0.9, weight_decay=0.0005, fused=True)
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    return timed(_public_step(net, optimizer, batch, 224, kind, torch.channels_last), batch)


def plain_net() -> nn.Sequential:
    """The paper's net of torch's own layers, its alpha divided by the window and its sum over all maps, as these have it."""
    return nn.Sequential(
        nn.Conv2d(3, 96, 11, stride=4),
        nn.ReLU(inplace=True),
        nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2),
        nn.ReLU(inplace=True),
        nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(256, 384, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 384, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
        nn.Flatten(),
        nn.Linear(256 * 6 * 6, 4096),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Linear(4096, 4096),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Linear(4096, CLASSES),
    )


def _torchvision_net() -> nn.Module:
    from torchvision.models import alexnet  # type: ignore[import-untyped]

    net: nn.Module = alexnet(num_classes=CLASSES).to(the_device())
    return net


def _public_step(
    net: nn.Module,
    optimizer: SGD,
    batch: int,
    side: int,
    precision: torch.dtype = torch.float32,
    layout: torch.memory_format = torch.contiguous_format,
) -> Callable[[], None]:
    device = the_device()
    images, labels = random_batch(batch, side, CLASSES, device)
    # Torch's own initial weights are for inputs of unit variance; on the 0-255 scale some would run away.
    images = (images / 74).to(memory_format=layout)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            loss = F.cross_entropy(net(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if not math.isfinite(loss.item()):
            raise RuntimeError(f"the loss is {loss.item()}, so the time of such steps says nothing; lower the rate here")

    return step
