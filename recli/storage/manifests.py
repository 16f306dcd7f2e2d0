"""The manifests of parts: what they must be, so that nothing else than a part is read as one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from recli import schema

_TYPES = {"kind": str, "format": int, "files": dict, "config": dict, "inputs": dict, "summary": dict}
_DIGEST = "sha256"  # of the manifest without it; manifests of earlier versions have none
_SEVERAL = tuple(kind.name for kind in schema.PART_KINDS.values() if kind.several)


def digested(manifest: Mapping[str, Any]) -> str:
    """The text of a manifest, with a digest of itself."""
    return _text({**manifest, _DIGEST: _digest(manifest)})


def parse(data: bytes) -> dict[str, Any]:
    """The manifest that was written as these bytes. Raises `ValueError`, to be read as "it is not ..."."""
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError):
        manifest = None
    if not isinstance(manifest, dict):
        raise ValueError("a manifest")
    for key, expected in _TYPES.items():
        if type(manifest.get(key)) is not expected:
            raise ValueError(f"a manifest: {key!r} is missing or of another type")
    if not all(isinstance(sha256, str) for key in ("files", "inputs") for sha256 in manifest[key].values()):
        raise ValueError("a manifest: a sha256 is no text")
    for name in manifest["files"]:
        if not is_plain(name):
            raise ValueError(f"a manifest: a file is called {name!r}, which is not a plain name")
    for name in manifest["inputs"]:
        kind, _, part = name.partition("/")
        if kind in _SEVERAL and part and not is_plain(part):
            raise ValueError(f"a manifest: an input is called {name!r}, which is not a part's name")
    digest = manifest.pop(_DIGEST, None)
    newer = manifest["format"] > schema.FORMAT  # refused where it is opened: it may have another digest
    if not newer and digest is not None and digest != _digest(manifest):
        raise ValueError("what was written (its own sha256 differs)")
    return manifest


def is_plain(name: str) -> bool:
    """Whether a name is one of a file in this folder, on every system: no path, no drive, no control character."""
    return (
        0 < len(name.encode(errors="replace")) <= 255
        and name.strip(". ") != ""
        and not any(c in '/\\:*?"<>|' or ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in name)
    )


def _digest(manifest: Mapping[str, Any]) -> str | None:
    try:
        return hashlib.sha256(_text(manifest).encode()).hexdigest()
    except (ValueError, RecursionError):  # NaN, or text that is no Unicode: nothing that was written
        return None


def _text(manifest: Mapping[str, Any]) -> str:
    return json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
