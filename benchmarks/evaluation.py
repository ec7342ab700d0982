"""The test with ten crops, beside the bare forward pass of the same net over as many crops."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from alexnet.config.training import Training
from alexnet.evaluate.predictions import probabilities
from alexnet.files.card import Card
from alexnet.models.network import Network
from alexnet.models.numerics import prepare_process
from benchmarks import steps
from benchmarks.measure import Comparison, parser, take_turns, tell
from benchmarks.paper import paper
from benchmarks.precisions import the_device

CROPS = 10
CARD = Card.model_construct(crop_size=227, crop_padding=0, flip=True)
"""What the test reads of a card."""


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table."""
    options = parser(__doc__ or "", rounds=3)
    options.add_argument("--batch", type=int, default=32, help="images a batch (default: %(default)s)")
    options.add_argument("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    chosen = options.parse_args(arguments)
    prepare_process(chosen.threads)
    # As ``load_model`` gives a trained net.
    net = steps.net_of(Training.read(paper())).eval().to(memory_format=torch.channels_last).to(the_device())
    squares = steps.random_batch(chosen.batch, 256, 1, the_device())[0].to(memory_format=torch.channels_last)
    crops = squares[:, :, :227, :227].contiguous(memory_format=torch.channels_last)
    works: dict[str, Callable[[], object]] = {
        "test": partial(probabilities, net, squares, CARD),
        "bare": partial(forward, net, crops),
    }
    contenders = {name: steps.timed(work, CROPS * chosen.batch) for name, work in works.items()}
    for warm_up in contenders.values():
        warm_up()
    figures = take_turns(contenders, chosen.rounds)
    tell([Comparison("ten-crop test, float32", "crops/s", figures["test"], "forward pass", figures["bare"], 0.9)], chosen)


@torch.no_grad()
def forward(net: Network, crops: Tensor) -> None:
    """As many forward passes as a test makes, and nothing else."""
    for _ in range(CROPS):
        net(crops)


if __name__ == "__main__":
    main()
