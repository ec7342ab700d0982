"""The test with ten crops, beside the bare forward pass of the same net over as many crops."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from alexnet.evaluation.predict import probabilities
from alexnet.model.card import Card
from alexnet.model.initialization import initialize
from alexnet.model.nets import build
from alexnet.model.network import Network, Switches
from alexnet.parallel.runtime import prepare_process
from benchmarks import steps
from benchmarks.measure import Comparison, Contender, parser, take_turns, tell
from benchmarks.paper import paper
from benchmarks.precisions import precisions, the_device

CROPS = 10
PRECISIONS = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table."""
    options = parser(__doc__ or "", rounds=3)
    options.add_argument("--batch", type=int, default=32, help="images a batch (default: %(default)s)")
    options.add_argument("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    chosen = options.parse_args(arguments)
    prepare_process(chosen.threads)
    settings = paper()
    net = build(settings["model"], steps.CLASSES, Switches.of(settings))
    initialize(net, settings["init"], settings["seed"])
    # As ``load_model`` gives a trained net.
    net = net.eval().to(memory_format=torch.channels_last).to(the_device())
    squares = steps.random_batch(chosen.batch, 256, 1, the_device())[0].to(memory_format=torch.channels_last)
    crops = squares[:, :, :227, :227].contiguous(memory_format=torch.channels_last)
    contenders: dict[str, Contender] = {}
    for name in precisions():
        works: dict[str, Callable[[], object]] = {
            f"test {name}": partial(probabilities, net, squares, card(name)),
            f"bare {name}": partial(forward, net, crops, PRECISIONS[name]),
        }
        contenders |= {work: steps.timed(works[work], CROPS * chosen.batch) for work in works}
    for warm_up in contenders.values():
        warm_up()
    figures = take_turns(contenders, chosen.rounds)
    what = "ten-crop test, {}"
    tell(
        [
            Comparison(what.format(name), "crops/s", figures[f"test {name}"], "forward pass", figures[f"bare {name}"], 0.9)
            for name in precisions()
        ],
        chosen,
        [what.format(name) for name in PRECISIONS if name not in precisions()],
    )


@torch.no_grad()
def forward(net: Network, crops: Tensor, precision: torch.dtype) -> None:
    """As many forward passes as a test makes, and nothing else."""
    with torch.autocast(crops.device.type, precision, enabled=precision != torch.float32):
        for _ in range(CROPS):
            net(crops)


def card(precision: str) -> Card:
    """What the test reads of a card, of a net trained at that precision."""
    return Card.model_construct(settings={"precision": precision}, crop_size=227, crop_padding=0, flip=True)


if __name__ == "__main__":
    main()
