"""Settings whose legal values are the keys of a table in the code that implements them."""

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError


def key_of(module: str, table: str) -> AfterValidator:
    """For ``Annotated``: the value must be a key of ``table``, a dict display at the top of ``module``.

    A new value is then a new entry of that one table.
    """

    def check(value: str | int) -> str | int:
        legal = keys(module, table)
        if value not in legal:
            *others, last = map(repr, legal)
            raise PydanticCustomError("literal_error", "should be {wanted}", {"wanted": f"{', '.join(others)} or {last}"})
        return value

    return AfterValidator(check)


@cache
def keys(module: str, table: str) -> tuple[str | int, ...]:
    """The keys of ``table``, read from the source: to import the module would take torch along, which takes seconds."""
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None, module
    for statement in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        value = getattr(statement, "value", None)
        if isinstance(value, ast.Dict) and any(isinstance(name, ast.Name) and name.id == table for name in targets):
            return tuple(ast.literal_eval(key) for key in value.keys if key is not None)
    raise LookupError(f"{module} has no table {table}")
