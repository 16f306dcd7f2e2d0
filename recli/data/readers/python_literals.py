"""Lines of Python dicts (`{u'user': 'a', 'bought': True}`), as `print` writes them: read without running anything."""

from __future__ import annotations

import ast
import re
from typing import Any

_DICT = re.compile(r"\s*\{\s*[uU]?['\"]")


def looks_like_dict(line: str) -> bool:
    """Whether a line that is no JSON may be a Python dict."""
    return _DICT.match(line) is not None


def parse_dict(line: str) -> dict[str, Any] | None:
    """The dict of a line, with values as JSON has them, integers as text (with all digits); None: it is none."""
    try:
        tree = ast.parse(line.strip(), mode="eval").body
        return _dict(tree) if isinstance(tree, ast.Dict) else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _dict(tree: ast.Dict) -> dict[str, Any]:
    return {_key(key): _value(value) for key, value in zip(tree.keys, tree.values, strict=True)}


def _key(tree: ast.expr | None) -> str:
    if not (isinstance(tree, ast.Constant) and isinstance(tree.value, str)):
        raise ValueError("a key is no text")
    return tree.value


def _value(tree: ast.expr) -> Any:
    if isinstance(tree, ast.Dict):
        return _dict(tree)
    if isinstance(tree, ast.List | ast.Tuple | ast.Set):
        return [_value(element) for element in tree.elts]
    value = ast.literal_eval(tree)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str | float | bool | None):
        raise ValueError(f"{type(value).__name__} is no value of JSON")
    return value
