"""The base of all settings, and how a wrong one is put into words."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alexnet.errors import UserError

Positive = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]


class Section(BaseModel):
    """A frozen group of settings. Types are strict (no text for a number); there are no defaults: params.yaml has them.

    Keys that a section does not name are left alone, so a stage may read its part of params.yaml;
    ``alexnet.settings.whole`` refuses keys that nobody names.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", use_attribute_docstrings=True)

    @classmethod
    def read(cls, mapping: dict[str, Any]) -> Self:
        """Build the section from a parsed mapping. Raises ``UserError``, one line for each wrong value."""
        try:
            return cls.model_validate(mapping)
        except ValidationError as error:
            raise UserError("\n".join(sentence(problem) for problem in error.errors())) from None


def sentence(problem: Any) -> str:
    """One of pydantic's problems as a sentence: which setting, which value, what is wanted."""
    name = ".".join(str(part) for part in problem["loc"] if not isinstance(part, int))
    wanted = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if problem["type"] == "missing":
        return f"params.yaml: {name} is missing; add it"
    if problem["type"].startswith("bool"):
        wanted = "should be true or false"
    return f"params.yaml: {name}: {problem['input']} is refused: it {wanted}" if name else f"params.yaml: {wanted}"
