"""JSON Schemas of what `--json` prints, one file each in `recli/cli/schemas`, which are part of the package.

The number in a schema's name is raised when a field goes, or gets another name or type. New fields may come at any
time: a reader ignores those that it does not know.
"""

_STEPS = ("prepare", "embed", "train-cf", "train-hybrid", "evaluate", "recommend")
VERSIONS = dict.fromkeys((*_STEPS, "status", "settings", "plan", "error"), 1)


def schema_of(name: str) -> str:
    """`recli/prepare/1`: what the field `schema` of an output says."""
    return f"recli/{name}/{VERSIONS.get(name, 1)}"
