"""Make the pages and pictures of the report."""

from stages import paths
from stages.command import main_repository, run


def main() -> None:
    """Read what pca, train and evaluate left; write ``reports/``, and send it to MLflow."""
    # Imported here, as params.yaml is checked first and matplotlib takes a second.
    from alexnet.background import Run
    from alexnet.reporting.pages import write_report
    from alexnet.reporting.results import read_results
    from alexnet.tracking import Store
    from stages.provenance import run_name, run_of, run_tags

    results = read_results(
        card=paths.CARD,
        curves=paths.CURVES,
        metrics=paths.METRICS,
        eigenbasis=paths.EIGENBASIS,
        mean=paths.MEAN,
        evaluation=paths.EVALUATION,
    )
    write_report(results, summary=paths.SUMMARY, page=paths.PAGE, folder=paths.FIGURES)
    with Run(Store(main_repository()), run_name(), resume=run_of(results.card.sha256)) as record:
        record.tags(run_tags() | {"data_source": results.card.data["source"]})
        record.artifacts(paths.CURVES.parent, "reports")


if __name__ == "__main__":
    run(main)
