"""What README and docs point to is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WRITTEN_BY_A_RUN = ("reports/",)


@pytest.mark.parametrize("document", ["README.md", "docs/design.md"])
def test_every_relative_link_leads_somewhere(document: str) -> None:
    text = (ROOT / document).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [
        link for link in links if not link.startswith(WRITTEN_BY_A_RUN) and not (ROOT / document).parent.joinpath(link).exists()
    ] == []


def test_the_readme_names_only_settings_that_exist() -> None:
    params = (ROOT / "params.yaml").read_text()
    named = set(re.findall(r"-S '?(?:\w+\.)*(\w+)=", (ROOT / "README.md").read_text()))
    assert {"lr", "source", "root"} <= named
    assert all(re.search(rf"^\s*{name}:", params, re.MULTILINE) for name in named)
