"""Settings whose legal values are the keys of a table in the code that implements them."""

import ast
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


@dataclass(frozen=True)
class KeyOf:
    """For ``Annotated``: the value must be a key of ``table``, a dict display at the top of ``module``.

    A new value is then a new entry of that one table.
    """

    module: str
    table: str

    @property
    def legal(self) -> tuple[str | int, ...]:
        """The keys, in the table's order."""
        return _keys(self.module, self.table)

    def check(self, value: Any) -> str | int:
        """The value itself, if it is legal."""
        if type(value) in (str, int) and value in self.legal:
            return value  # type: ignore[no-any-return]
        *others, last = map(repr, self.legal)
        raise PydanticCustomError("literal_error", "should be {wanted}", {"wanted": f"{', '.join(others)} or {last}"})

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)


@cache
def _keys(module: str, table: str) -> tuple[str | int, ...]:
    """Read from the source, as to import the module would take torch along, and seconds."""
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None, module
    for statement in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        value = getattr(statement, "value", None)
        if isinstance(value, ast.Dict) and any(isinstance(name, ast.Name) and name.id == table for name in targets):
            return tuple(ast.literal_eval(key) for key in value.keys if key is not None)
    raise LookupError(f"{module} has no table {table}")
