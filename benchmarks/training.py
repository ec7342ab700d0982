"""The training step of the paper's net, beside plain PyTorch, torchvision's AlexNet and the limit that a matrix product sets."""

from argparse import Namespace
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch

from alexnet.models.build import build
from alexnet.models.costs import training_flops
from alexnet.models.network import Switches
from benchmarks import peers, steps
from benchmarks.measure import Comparison, Contender, apart, parser, take_turns, tell
from benchmarks.paper import paper
from benchmarks.precisions import precisions

MICROBATCHES = 4
"""Of the training as it comes; in bfloat16 it is measured with one too, the whole batch at once."""


class Targets(NamedTuple):
    """What the step is to reach."""

    plain: dict[str, float]
    """At each precision, beside plain PyTorch in float32; on a GPU its convolutions are TF32, so float32 is left out."""
    limit: float
    """Of the limit."""
    torchvision: dict[str, float]
    """At the fastest precision, beside torchvision's net in float32."""
    best: float
    """Beside torchvision's net at its best."""


ON_CPU = Targets({"bfloat16": 5.0, "float32": 2.8}, 0.65, {"bfloat16": 2.4, "float32": 1.0}, 0.85)
ON_GPU = Targets({"bfloat16": 1.5, "tf32": 1.0}, 0.5, {"bfloat16": 1.0}, 1.0)
TARGETS = ON_GPU if torch.cuda.is_available() else ON_CPU


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table. The contenders of one part are in memory together: about 10 GB."""
    parts = [*TARGETS.plain, "torchvision"]
    options = parser(__doc__ or "", rounds=3)
    batch = 512 if torch.cuda.is_available() else 128
    options.add_argument("--batch", type=int, default=batch, help="images a step (default: %(default)s)")
    options.add_argument("--threads", type=int, default=2, help="CPU threads of each contender (default: %(default)s)")
    options.add_argument("--only", nargs="+", choices=parts, default=parts, metavar="PART", help=f"some of: {', '.join(parts)}")
    chosen = options.parse_args(arguments)
    found, left_out, fastest = [], [], precisions()[0]
    for part in chosen.only:
        if part == "bfloat16" and part not in precisions():
            left_out += titles(part)
        elif part == "torchvision":
            found += beside_torchvision(fastest, measured(torchvision_contenders(fastest, chosen), chosen.rounds))
            left_out += [f"{row}, beside torchvision's net" for row in titles("bfloat16")] if fastest != "bfloat16" else []
        else:
            net = build("alexnet", steps.CLASSES, Switches.of(paper()))
            found += beside_plain(part, measured(plain_contenders(part, chosen), chosen.rounds), training_flops(net, 227))
    tell(found, chosen, left_out)


def measured(builders: Mapping[str, Callable[[], Contender]], rounds: int) -> dict[str, list[float]]:
    """Each contender's figures."""
    with apart(builders) as contenders:
        return take_turns(contenders, rounds, warm_up=True)


def plain_contenders(precision: str, options: Namespace) -> dict[str, Callable[[], Contender]]:
    """Our step by its microbatches, the limit and plain PyTorch."""
    limit = partial(steps.product, precision, options.threads)
    plain = partial(peers.plain, options.batch, options.threads)
    return {**own_contenders(precision, options), "limit": limit, "plain": plain}


def own_contenders(precision: str, options: Namespace) -> dict[str, Callable[[], Contender]]:
    """Our step by its microbatches."""
    return {
        f"ours {parts}": partial(steps.ours, precision, parts, options.batch, options.threads)
        for parts in microbatches_at(precision)
    }


def microbatches_at(precision: str) -> tuple[int, ...]:
    """Those that are measured."""
    return (MICROBATCHES, 1) if precision == "bfloat16" else (MICROBATCHES,)


def torchvision_contenders(precision: str, options: Namespace) -> dict[str, Callable[[], Contender]]:
    """Our step by its microbatches, and torchvision's net twice."""
    return {
        **own_contenders(precision, options),
        "as it comes": partial(peers.torchvision, options.batch, options.threads),
        "at its best": partial(peers.best_torchvision, precision, options.batch, options.threads),
    }


def beside_plain(precision: str, figures: Mapping[str, list[float]], flop: float) -> list[Comparison]:
    """The rows of one precision; ``flop``: of one image's step."""
    rows = []
    for parts in microbatches_at(precision):
        what, images = _title(precision, parts), figures[f"ours {parts}"]
        own = [count * flop / 1e9 for count in images]
        rows += [
            Comparison(what, "images/s", images, "plain PyTorch, float32", figures["plain"], TARGETS.plain[precision]),
            Comparison(
                f"{what}, of the limit",
                "GFLOP/s",
                own,
                f"product of {steps.side()}² matrices, {precision}",
                figures["limit"],
                TARGETS.limit,
            ),
        ]
    return rows


def beside_torchvision(precision: str, figures: Mapping[str, list[float]]) -> list[Comparison]:
    """The rows of torchvision's net, which has no normalisation; ``precision``: of ours and of its best."""
    rows = []
    for parts in microbatches_at(precision):
        what, images = _title(precision, parts), figures[f"ours {parts}"]
        target = TARGETS.torchvision[precision]
        rows += [
            Comparison(what, "images/s", images, "torchvision's net, float32", figures["as it comes"], target),
            Comparison(
                what, "images/s", images, f"torchvision's net at its best, {precision}", figures["at its best"], TARGETS.best
            ),
        ]
    return rows


def titles(precision: str) -> list[str]:
    """The rows of our step at that precision."""
    return [_title(precision, parts) for parts in microbatches_at(precision)]


def _title(precision: str, microbatches: int) -> str:
    return f"training step, {precision}, {microbatches} microbatch{'' if microbatches == 1 else 'es'}"


if __name__ == "__main__":
    main()
