"""The report of a sample run, made and taken apart. Imports no torch."""

from pathlib import Path

from helpers.page_reader import Page

from alexnet.report.inputs import ReportInputs, read_inputs
from alexnet.report.pages import write_report


def read(root: Path) -> ReportInputs:
    """What the run under ``root`` left for the report."""
    return read_inputs(
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
