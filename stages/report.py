"""Make the pages and pictures of the report."""

from stages import paths
from stages.command import run


def main() -> None:
    """Read what pca, train and evaluate left; write ``reports/``, and send it to MLflow."""
    # Imported here, as params.yaml is checked first and matplotlib takes a second.
    from alexnet.report.inputs import read_inputs
    from alexnet.report.pages import write_report
    from alexnet.tracking.background import BackgroundRun
    from alexnet.tracking.client import Store
    from stages.provenance import run_name, run_of, run_tags

    inputs = read_inputs(
        card=paths.CARD,
        curves=paths.CURVES,
        metrics=paths.METRICS,
        eigenbasis=paths.EIGENBASIS,
        mean=paths.MEAN,
        evaluation=paths.EVALUATION,
    )
    write_report(inputs, summary=paths.SUMMARY, page=paths.PAGE, folder=paths.FIGURES)
    with BackgroundRun(Store(paths.main_repository()), run_name(), resume=run_of(inputs.card.sha256)) as record:
        record.tags(run_tags() | {"data_source": inputs.card.data.source})
        record.artifacts(paths.CURVES.parent, "reports")


if __name__ == "__main__":
    run(main)
