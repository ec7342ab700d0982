"""The base class of all settings, and the wording of its errors."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alexnet.errors import UserError
from alexnet.names import brief, printable

MOST = 10**9
"""The largest number that any setting takes."""
Positive = Annotated[int, Field(ge=1, le=MOST)]
Natural = Annotated[int, Field(ge=0, le=MOST)]
Handful = Annotated[int, Field(ge=1, le=1024)]
"""Of threads or processes."""
AboveZero = Annotated[float, Field(gt=0, le=MOST)]
AtLeastZero = Annotated[float, Field(ge=0, le=MOST)]


class Section(BaseModel):
    """A frozen group of settings. Types are strict (no text for a number); there are no defaults: params.yaml has them.

    Keys that a section does not declare are ignored, so a stage can read its part of params.yaml;
    ``alexnet.config.check`` rejects keys that no section declares.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", use_attribute_docstrings=True)

    @classmethod
    def read(cls, mapping: dict[str, Any]) -> Self:
        """Build the section from a parsed mapping. Raises ``UserError``, one line for each invalid value."""
        try:
            return cls.model_validate(mapping)
        except ValidationError as error:
            raise UserError("\n".join(_sentence(problem) for problem in error.errors())) from None


BY_LAYER = ("lr_mult", "decay_mult")
"""Settings whose value is a mapping, from layers to numbers."""


def flat(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one of dotted keys: ``{"data": {"root": None}}`` becomes ``{"data.root": None}``."""
    leaves: dict[str, Any] = {}
    for key, value in mapping.items():
        leaves |= (
            flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) and key not in BY_LAYER else {f"{prefix}{key}": value}
        )
    return leaves


def _sentence(problem: Any) -> str:
    """One of pydantic's errors as a sentence: which setting, which value, what is legal."""
    name = ".".join(str(part) for part in problem["loc"] if not isinstance(part, int))
    wanted = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if problem["type"] == "missing":
        return f"params.yaml: {name} is missing; add it"
    if problem["type"].startswith("bool"):
        wanted = "should be true or false"
    return (
        f"params.yaml: {name}: {brief(problem['input'])} is not valid: it {wanted}"
        if name
        else f"params.yaml: {printable(wanted)}"
    )
