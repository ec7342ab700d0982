"""Test the model with the centre crop and with ten crops."""

import sys

from stages import paths
from stages.command import main_repository, run


def main() -> None:
    """Write the errors and, for the report, predictions, tables, kernels and samples."""
    # Imported here, as params.yaml is checked first and torch takes seconds.
    import torch

    from alexnet.background import Run
    from alexnet.data.loading import thread_count
    from alexnet.data.shards import Shards
    from alexnet.evaluation import results
    from alexnet.files import write_json
    from alexnet.model.card import read_card
    from alexnet.model.saved import load_model
    from alexnet.parallel.runtime import prepare_process
    from alexnet.tracking import Store, named_results
    from stages.provenance import run_name, run_of, run_tags

    card = read_card(paths.CARD)
    prepare_process(card.settings["threads"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net, mean = load_model(paths.MODEL, card)
    shards = Shards(paths.SHARDS, "test")
    found = results.test(net, mean, shards, card, device, thread_count(None, processes=1))
    errors = results.metrics(found, len(card.classes))
    results.write(paths.EVALUATION, found, net, shards, card)
    write_json(paths.METRICS, errors)
    crops = "ten crops" if card.flip else "five crops"
    top1 = errors["center"]["top1_error"], errors["ten_crop"]["top1_error"]
    print(f"evaluate: top-1 error {top1[0]:.2%} with the centre crop, {top1[1]:.2%} with {crops}", file=sys.stderr)
    with Run(Store(main_repository()), run_name(), resume=run_of(card.sha256)) as record:
        record.tags(run_tags() | {"data_source": card.data["source"]})
        record.metrics(named_results(errors))


if __name__ == "__main__":
    run(main)
