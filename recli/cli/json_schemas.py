"""JSON Schemas of what `--json` prints, one file each in `recli/cli/schemas`, which are part of the package.

The number in a schema's name is raised when a field goes, or gets another name or type. New fields may come at any
time: a reader ignores those that it does not know.
"""

import json
from typing import Any

from recli.errors import unknown_name

_VERSION = 1  # of all schemas so far


def schema_of(name: str) -> str:
    """`recli/prepare/1`: what the field `schema` of an output says."""
    return f"recli/{name}/{_VERSION}"


def schema_names() -> tuple[str, ...]:
    """The outputs that have a schema, in alphabetical order."""
    return tuple(sorted(path.name.removesuffix(".json") for path in _folder().iterdir()))


def _folder() -> Any:
    from importlib.resources import files

    return files("recli.cli") / "schemas"


def read_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of an output. Raises `UsageError` for an unknown one."""
    if name not in schema_names():
        raise unknown_name("there is no schema", name, schema_names())
    schema: dict[str, Any] = json.loads((_folder() / f"{name}.json").read_text("utf-8"))
    return schema
