"""Evaluate the model on the test images with the centre crop and with ten crops."""

import sys

from stages import paths
from stages.command import run


def main() -> None:
    """Write the errors and, for the report, predictions, tables, kernels, and images with what the net makes of them."""
    # Imported here, as params.yaml is checked first and torch takes seconds.
    from alexnet.evaluate import results
    from alexnet.evaluate.evaluation import Runner, evaluate
    from alexnet.evaluate.inside import write_inside
    from alexnet.evaluate.neighbors import write_nearest
    from alexnet.files.card import Card
    from alexnet.files.finished import mark_stored
    from alexnet.files.whole import write_json
    from alexnet.input.loader import thread_count
    from alexnet.input.shards import Shards
    from alexnet.models.devices import computing_device
    from alexnet.models.numerics import prepare_process
    from alexnet.models.saved import load_model
    from alexnet.tracking.background import BackgroundRun
    from alexnet.tracking.client import Store, named_results
    from stages.provenance import run_name, run_of, run_tags

    card = Card.read(paths.CARD)
    mark_stored(paths.main_repository() / paths.CHECKPOINTS, card.sha256)
    prepare_process(card.settings["threads"])
    net, mean = load_model(paths.MODEL, card)
    runner = Runner(mean, card, computing_device(), thread_count(None, processes=1))
    train, test = (Shards(paths.SHARDS, split) for split in ("train", "test"))
    evaluation = evaluate(net, test, runner)
    errors = results.metrics(evaluation, len(card.classes))
    results.write(paths.EVALUATION, evaluation, net, test, card)
    write_nearest(paths.EVALUATION, net, train, test, runner)
    write_inside(paths.EVALUATION, net, test, runner)
    write_json(paths.METRICS, errors)
    crops = "ten crops" if card.flip else "five crops"
    top1 = errors["center"]["top1_error"], errors["ten_crop"]["top1_error"]
    print(f"evaluate: top-1 error {top1[0]:.2%} with the centre crop, {top1[1]:.2%} with {crops}", file=sys.stderr)
    with BackgroundRun(Store(paths.main_repository()), run_name(), resume=run_of(card.sha256)) as record:
        record.tags(run_tags() | {"data_source": card.data.source})
        record.metrics(named_results(errors))
        record.data(card.data.model_dump(), "test")
        record.evaluated(errors["ten_crop"]["top1_error"])


if __name__ == "__main__":
    run(main)
