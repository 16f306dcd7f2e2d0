"""Options that need not be typed: from environment variables, a file (`--config`) and the folder's pyproject.toml.

What is typed counts first, then `RECLI_<COMMAND>_<OPTION>`, then the file's section `[<command>]`, then
`[tool.recli.<command>]` of pyproject.toml, then the default.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from recli.cli.console import Console
from recli.cli.json_schemas import schema_of
from recli.config import (
    Spec,
    check_value,
    choices_of,
    former_names,
    from_text,
    has_type,
    option_name,
    spec_of,
    type_words,
)
from recli.errors import ConfigError, RecliError, UsageError, closest, near_file

PYPROJECT = "pyproject.toml"
_TYPED = ("trust_remote_code",)  # not in files: one that lies in a folder is not to run code
SWITCHES = ("quiet", "json")  # of every command, beside the fields of its config


@dataclass(frozen=True)
class Setting:
    """A value that was not typed, and where it comes from: `RECLI_EMBED_MODEL`, `job.toml`."""

    value: Any
    origin: str


def read_settings(
    command: str, commands: tuple[str, ...], config: type[Any], file: str | None, typed: Mapping[str, Any]
) -> dict[str, Setting]:
    """What environment and files say about the options of a command, by field.

    `commands`: the names that sections may have. `file`: of `--config`. `typed`: what the command line has: it decides
    which algorithm's table counts. Raises `UsageError` for a file that is none, unknown names and wrong values.
    """
    from_environment = dict(_from_environment(command, config))
    chosen = typed.get("algorithm") or getattr(from_environment.get("algorithm"), "value", None)
    found: dict[str, Setting] = {}
    if Path(PYPROJECT).is_file() and "tool.recli" in (text := _read(PYPROJECT)):
        tables = _parse(PYPROJECT, text).get("tool", {}).get("recli", {})
        found |= _from_tables(command, commands, config, tables, PYPROJECT, chosen)
    if file is not None:
        tables = _parse(file, _read(file))
        if Path(file).name == PYPROJECT:
            tables = tables.get("tool", {}).get("recli", {})
        found |= _from_tables(command, commands, config, tables, file, chosen)
    return found | from_environment


def _read(file: str) -> str:
    try:
        return Path(file).read_text("utf-8")
    except FileNotFoundError:
        near = near_file(file)
        hint = f"did you mean {near}?" if near else "name a file with --config"
        raise RecliError(f"there is no file {file}", hint) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecliError(f"{file} cannot be read: {error}", "name a file with --config") from None


def _parse(file: str, text: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{file} is not TOML: {error}", "see recli help config") from None


def _from_tables(
    command: str,
    commands: tuple[str, ...],
    config: type[Any],
    tables: Any,
    file: str,
    chosen: str | None,
) -> dict[str, Setting]:
    """The settings in the command's section, and in its table of the algorithm that is used."""
    if not isinstance(tables, dict):
        raise UsageError(f"{file}: tool.recli must be a table", "see recli help config")
    for name, section in tables.items():
        if name not in commands:
            raise UsageError(f"{file}: there is no command {name!r}", _meant(name, commands, "sections"))
        if not isinstance(section, dict):
            raise UsageError(f"{file}: {name} must be a section, [{name}]", "see recli help config")
    section = tables.get(command, {})
    fields = {field.name: field for field in dataclasses.fields(config)}
    algorithms = choices_of(spec_of(fields["algorithm"])) or () if "algorithm" in fields else ()
    plain = {key: value for key, value in section.items() if not isinstance(value, dict)}
    for name in section.keys() - plain.keys():
        if name not in algorithms:
            what = f"{file}: [{command}.{name}] is a table, and no option is one"
            if algorithms:
                what = f"{file}: [{command}.{name}]: there is no algorithm {name!r}"
            raise UsageError(
                what, _meant(name, algorithms, "algorithms") if algorithms else "see recli help config"
            )
    used = chosen or plain.get("algorithm") or (fields["algorithm"].default if algorithms else None)
    values = {**plain, **section.get(used, {})} if isinstance(used, str) else plain
    for key in values:
        if key.replace("-", "_") in _TYPED:
            raise UsageError(f"{file}: {key} cannot be set in a file", "type it, if you trust the model")
    return {
        name: Setting(_in_folder(fields.get(name), value, Path(file).parent), file)
        for name, value in (_checked(config, key, value, file) for key, value in values.items())
    }


def _from_environment(command: str, config: type[Any]) -> Iterator[tuple[str, Setting]]:
    prefix = variable(command, "")
    for name in sorted(os.environ):
        if name.startswith(prefix) and os.environ[name]:
            key = name.removeprefix(prefix).lower()
            field, value = _checked(config, key, os.environ[name], name, words=True)
            yield field, Setting(value, name)


def variable(command: str, field: str) -> str:
    """The environment variable of an option: `RECLI_TRAIN_CF_SEED`."""
    return f"RECLI_{command}_{field}".upper().replace("-", "_")


def _checked(config: type[Any], key: str, value: Any, origin: str, words: bool = False) -> tuple[str, Any]:
    """The field that `key` names, and its value; `words`: it is text, as environment variables have it."""
    fields = {field.name: field for field in dataclasses.fields(config)}
    name = key.replace("-", "_")
    if name in former_names(config):
        now = former_names(config)[name].replace("_", "-")
        raise UsageError(f"{origin}: there is no option {key!r}", f"it is {now} now")
    if name not in fields and name not in SWITCHES:
        known = [known.replace("_", "-") for known in (*fields, *SWITCHES)]
        raise UsageError(
            f"{origin}: there is no option {key!r}", _meant(name.replace("_", "-"), known, "options")
        )
    hint = get_type_hints(config).get(name, bool)
    typed = "--" + name.replace("_", "-") if name in SWITCHES else option_name(fields[name])
    shown = typed if words else f"{key.replace('_', '-')}"
    if words:
        value = tuple(shlex.split(value)) if get_origin(hint) is tuple else from_text(value, hint)
    elif isinstance(value, str) and get_origin(hint) is tuple:
        value = (value,)
    if not has_type(value, hint) or value is None:
        raise ConfigError(f"{origin}: {shown} must be {type_words(hint)}, not {value!r}")
    value = tuple(value) if isinstance(value, list) else value
    try:
        for item in value if isinstance(value, tuple) else (value,):
            check_value(shown, spec_of(fields[name]) if name in fields else Spec(""), item)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error.what}", error.fix) from None
    return name, value


def _meant(name: str, known: tuple[str, ...] | list[str], what: str) -> str:
    near = closest(name, known)
    return f"did you mean {near[0]}?" if near else f"{what}: {', '.join(known)}"


def _in_folder(field: Any, value: Any, folder: Path) -> Any:
    """Relative paths in a file are relative to its folder."""
    if field is None or str(folder) == ".":
        return value
    spec = spec_of(field)
    if isinstance(value, tuple):
        return tuple(_path(spec, item, folder) for item in value)
    return _path(spec, value, folder) if isinstance(value, str) else value


def _path(spec: Spec, text: str, folder: Path) -> str:
    """A relative path of an option that takes paths, seen from the working folder."""
    name, equals, path = text.rpartition("=") if spec.paths == "named" else ("", "", text)
    path, colon, key = path.rpartition(":") if spec.paths == "keyed" else (path, "", "")
    here = folder / path
    if spec.paths is None or path in ("", "-") or Path(path).is_absolute():
        return text
    if spec.paths == "maybe" and not here.exists():
        return text
    return f"{name}{equals}{os.path.normpath(here)}{colon}{key}"


def show_settings(command: str, config: type[Any], ctx: Any) -> None:
    """Print every option's value and where it comes from: as TOML that `--config` reads, or as JSON."""
    console = Console(json=bool(ctx.params.get("json")), command="settings")
    rows = list(_effective(config, ctx))
    if console.json:
        values = {name: value for name, value, _ in rows}
        origins = {name: origin for name, _, origin in rows}
        schema = schema_of("settings")
        console.print_json({"schema": schema, "command": command, "values": values, "from": origins})
        return
    console.print(f"[{command}]")
    for name, value, origin in rows:
        key = name.replace("_", "-")
        line = f"# {key} is not set" if value is None else f"{key} = {_toml(value)}"
        console.print(f"{line}  # {origin}")


def _effective(config: type[Any], ctx: Any) -> Iterator[tuple[str, Any, str]]:
    """Name, value and origin of each option."""
    names = [field.name for field in dataclasses.fields(config)]
    for name in (*names, *SWITCHES):
        setting = ctx.obj.get(name)
        origin = "default" if setting is None else setting.origin
        yield name, ctx.params[name], "command line" if name in ctx.meta["typed"] else origin


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
