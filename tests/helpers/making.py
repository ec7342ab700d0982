"""The report of a sample run, made and taken apart. Imports no torch."""

from pathlib import Path

from helpers.page_reader import Page

from alexnet.report.pages import write_report
from alexnet.report.inputs import Results, read_results


def read(root: Path) -> Results:
    """The results of the run under ``root``."""
    return read_results(
        card=root / "models/alexnet.json",
        curves=root / "reports/train.csv",
        metrics=root / "reports/metrics.json",
        eigenbasis=root / "data/eigenbasis.json",
        mean=root / "data/mean.npy",
        evaluation=root / "data/evaluation",
    )


def report(root: Path) -> tuple[Page, str]:
    """Make the report of the run under ``root``; the page taken apart, and the README."""
    summary, page, folder = root / "reports/README.md", root / "reports/index.html", root / "reports/figures"
    write_report(read(root), summary, page, folder)
    return Page(page.read_text(encoding="utf-8")), summary.read_text(encoding="utf-8")
