"""The rows of the table of results, as docs/results/rows.yaml lists them, and the trainings that each needs."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from alexnet.config.check import check
from alexnet.errors import UserError
from alexnet.nearest import nearest
from stages.command import read_yaml
from workflow.recipe import applied, read, shipped

FOLDER = Path(__file__).parents[2] / "docs/results"
"""Of the table's rows, its records and its figures."""

Schedule = Literal["short", "full"]
SCHEDULES: tuple[Schedule, ...] = ("full", "short")


class Row(BaseModel):
    """One row: a recipe, what differs from it, and its seeds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    claim: str
    """The heading under which the row stands."""
    what: str
    """The row in words."""
    published: str = ""
    """The figure that is published for it."""
    recipe: str
    """Recipes, separated by commas, later ones on top."""
    settings: dict[str, Any] = {}
    """On top of the recipe."""
    seeds: tuple[int, ...] = (0,)
    full: dict[str, Any] = {}
    """On top of that, where the machine has a GPU."""
    short: dict[str, Any] = {}
    """On top of ``settings``: a schedule of at most two hours on two CPU cores."""

    @property
    def recipes(self) -> list[str]:
        """Later ones on top."""
        return self.recipe.split(",")

    @property
    def planned_epochs(self) -> int:
        """Those of the recipe as it stands, or of the full schedule if it has more."""
        return int(max(applied(shipped(), self.of_recipes())["epochs"], self.full.get("epochs", 0)))

    def of_recipes(self) -> dict[str, Any]:
        """The settings of the recipes, later ones on top."""
        merged: dict[str, Any] = {}
        for recipe in self.recipes:
            merged |= read(recipe)
        return merged


@dataclass(frozen=True)
class Run:
    """One training of a row."""

    row: Row
    seed: int
    schedule: Schedule

    @property
    def name(self) -> str:
        """Of its folder, its record and its experiment."""
        seed = f"-seed{self.seed}" if len(self.row.seeds) > 1 else ""
        return f"{self.row.id}{seed}{'-short' if self.schedule == 'short' else ''}"

    @property
    def changes(self) -> dict[str, Any]:
        """The settings on top of the recipes, by dotted names."""
        return {**self.row.settings, **getattr(self.row, self.schedule), "seed": self.seed}

    def settings(self, more: dict[str, Any]) -> dict[str, Any]:
        """All of params.yaml, with ``more`` on top. Raises ``UserError`` if there is no such recipe, or they are not valid."""
        settings = applied(shipped(), self.row.of_recipes() | self.changes | more)
        try:
            check(settings)
        except UserError as error:
            raise UserError(str(error).replace("params.yaml: ", f"{self.name}: ")) from None
        return settings

    def facts(self) -> dict[str, Any]:
        """What its record says of it."""
        return {"name": self.name, "row": self.row.id, "seed": self.seed, "schedule": self.schedule}


def rows(path: Path = FOLDER / "rows.yaml") -> list[Row]:
    """All rows, in the table's order."""
    return [Row.model_validate(row) for row in read_yaml(path)["rows"]]


def chosen(ids: Collection[str], schedule: Schedule) -> list[Run]:
    """The trainings of the rows with these ids, or of all. Raises ``UserError`` if there is no such row."""
    found = rows()
    known = [row.id for row in found]
    for name in ids:
        if name not in known:
            near = nearest(name, known, cutoff=0.0)
            raise UserError(f"--rows: there is no row {name}; did you mean {near}? docs/results/rows.yaml has them all")
    return [Run(row, seed, schedule) for row in found if not ids or row.id in ids for seed in row.seeds]
