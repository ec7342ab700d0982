"""The base of the JSON files that the stages hand to each other."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from alexnet.errors import UserError
from alexnet.files.whole import read_json, write_json
from alexnet.names import brief


class Record(BaseModel):
    """The content of a JSON file, typed and frozen, its numbers finite. Fields are written in the order of their declaration."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        write_json(path, self.model_dump())

    @classmethod
    def read(cls, path: Path, remedy: str = "") -> Self:
        """Read what ``write`` wrote. Raises ``UserError``, as ``read_json`` does, if the file is missing or damaged."""
        try:
            return cls.model_validate(read_json(path, remedy))
        except ValidationError as error:
            field = brief(".".join(map(str, error.errors()[0]["loc"])) or "its content")
            remedy = remedy or "run `dvc repro` to write it again"
            raise UserError(f"{path} is damaged: {field} is missing or wrong; {remedy}") from None
