"""JSON Lines: an object per line. Ids are integers or strings."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import polars as pl

from recli.data.readers.nested import nested_cells, new_paths, unwrapped, value_at
from recli.data.readers.options import OptionNames
from recli.data.readers.python_literals import looks_like_dict, parse_dict
from recli.data.readers.streams import Source, Stream
from recli.data.readers.table import Batch, LineCounts, Reject, Table, is_free, is_list
from recli.errors import InvalidDataError

INVALID_JSON, NOT_OBJECT, WRONG_TYPE = "invalid JSON", "not a JSON object", "wrong type"
BROKEN_UTF8, TOO_DEEP = "broken UTF-8", "nested too deeply"
_NUMBERS = ("rating", "weight", "score", "rank")  # columns
_SAMPLE_OBJECTS = 1_000  # objects whose keys are the columns


# Integers keep their digits, whatever their size; a number with a fraction or exponent is no id.
_decode: Callable[[str], Any] = json.JSONDecoder(parse_int=str).decode


def open_jsonl(
    stream: Stream,
    advice: OptionNames,
    every_key: bool = False,
    decimal_comma: bool = False,
    paths: Sequence[str] = (),
) -> Table | None:
    """Open a file of JSON lines; None where it is empty.

    Its columns: the keys of the first 1,000 objects, or with `every_key` (for which all of the file is held in
    memory) those of all objects; and those of the dotted `paths` that one of the first 1,000 has. With
    `decimal_comma` numbers stay text, as they are written.
    """
    blocks = stream.blocks()
    first, last = next(blocks)
    if not first.strip():
        return None
    if first.lstrip()[:1] == b"[":
        raise InvalidDataError(
            f"{stream.source} is a JSON array, not an object per line",
            f"make it lines: jq -c '.[]' {stream.source.name} > {stream.source.name}.jsonl",
        )
    if every_key and not last:
        first, last = b"".join((first, *(block for block, _ in blocks))), True
    lines = first.split(b"\n") if every_key else first.split(b"\n", _SAMPLE_OBJECTS)[:_SAMPLE_OBJECTS]
    objects = (record for line in lines if line.strip() and (record := _object(line)[0]))
    sample = list(itertools.islice(objects, _SAMPLE_OBJECTS))
    names = list(dict.fromkeys(key for record in itertools.chain(sample, objects) for key in record))
    if not names:
        raise _no_objects(stream.source, first, advice)
    dotted = {path: path.split(".") for path in new_paths(paths, names)}
    dotted = {path: keys for path, keys in dotted.items() if any(_has(record, keys) for record in sample)}
    names += dotted

    def batches(numbers_by_name: Mapping[str, int]) -> Iterator[Batch]:
        keys = {name: names[number] for name, number in numbers_by_name.items()}
        alike = not (every_key or decimal_comma or dotted.keys() & keys.values() or any(map(is_list, keys)))
        line = 1
        for block in _rejoined(first, last, blocks):
            frame = _parse_alike(block, line, keys) if alike else None
            if frame is None:
                batch, taken = parse_objects(block, line, keys, dotted)
            else:
                taken = frame.height
                batch = Batch(frame, _RawLines(block, line), lines=LineCounts(taken))
            line += taken
            yield batch

    cells = {name: [value_at(record, dotted.get(name, (name,))) for record in sample] for name in names}
    nested = {name: found for name in names if (found := nested_cells(cells[name]))}
    wrapped = [name for name in names if any(cell is not unwrapped(cell) for cell in cells[name])]
    notes = _notes(stream.source, lines) + _unwrapping(stream.source, wrapped, cells)
    return Table(names, batches, notes, nested=nested)


def _unwrapping(source: Source, wrapped: Sequence[str], cells: Mapping[str, Sequence[Any]]) -> list[str]:
    if not wrapped:
        return []
    example = next(cell for cell in cells[wrapped[0]] if cell is not unwrapped(cell))
    names = ", ".join(wrapped)
    return [f"{source}: the values of {names} are taken out of their wrappers, such as {json.dumps(example)}"]


def _has(record: dict[str, Any], keys: Sequence[str]) -> bool:
    """Whether there is a value at the path, or in any element of a list there."""
    found = value_at(record, keys)
    while isinstance(found, list):
        found = next((element for element in found if element is not None), None)
    return found is not None


def _notes(source: Source, lines: Sequence[bytes]) -> list[str]:
    """What is said of lines that are no JSON."""
    texts = (line.decode(errors="replace") for line in lines[:_SAMPLE_OBJECTS])
    python = next((text for text in texts if not _is_json(text) and parse_dict(text) is not None), None)
    return [] if python is None else [f"{source}: lines of Python dicts are read as JSON: {python[:60]}"]


def _is_json(text: str) -> bool:
    try:
        _decode(text.rstrip().removesuffix(","))
    except (ValueError, RecursionError):
        return False
    return True


def _no_objects(source: Source, first: bytes, advice: OptionNames) -> InvalidDataError:
    line = first.split(b"\n", 1)[0].strip()
    if line in (b"{", b"{}"):
        return InvalidDataError(
            f"{source}: an object goes over several lines; there must be one on each line",
            f"make it lines: jq -c . {source.name} > {source.name}.jsonl",
        )
    return InvalidDataError(
        f"{source}: none of the first lines is a JSON object with keys",
        f"is it CSV? say so: {advice.format} csv" if advice.format else "is it CSV? call it .csv",
    )


def _rejoined(first: bytes, last: bool, blocks: Iterator[tuple[bytes, bool]]) -> Iterator[bytes]:
    yield first
    if not last:
        yield from (block for block, _ in blocks)


def _object(line: bytes, decode: Callable[[str], Any] = _decode) -> tuple[dict[str, Any] | None, str]:
    """The object of a line, or None and the reason."""
    try:
        text = line.decode()
        value = decode(text.rstrip().removesuffix(","))  # lines of an array have a comma
    except UnicodeDecodeError:
        return None, BROKEN_UTF8
    except (ValueError, RecursionError):
        return (parse_dict(text) if looks_like_dict(text) else None), INVALID_JSON
    return (value, "") if isinstance(value, dict) else (None, NOT_OBJECT)


class _RawLines:
    """The text of lines by number, the first of which is number `line`."""

    def __init__(self, data: bytes, line: int) -> None:
        self._data = data
        self._line = line

    def __call__(self, numbers: Sequence[int]) -> list[str]:
        rows = self._data.split(b"\n")
        return [_raw(rows[n - self._line]) for n in numbers]


def _parse_alike(data: bytes, line: int, keys: Mapping[str, str]) -> pl.DataFrame | None:
    """All lines at once, ten times as fast; None where it is not sure to be what `parse_objects` makes of them.

    It is where every object has each key once, with a value of the first one's type. polars refuses other types (it
    takes strings alone for categories), but takes the first of two values and makes NUL of half a surrogate pair.
    """
    schema = _types(data[: data.find(b"\n") + 1], keys)
    if schema is None or b"\\u" in data:
        return None
    try:
        frame = pl.read_ndjson(data, schema=schema)
    except pl.exceptions.PolarsError:
        return None
    n_lines = data.count(b"\n") + (not data.endswith(b"\n"))
    once = (data.count(json.dumps(key, ensure_ascii=False).encode()) == n_lines for key in schema)
    if frame.height != n_lines or any(c.null_count() for c in frame) or not all(once):
        return None
    if b"-0" in data and any((c == 0).any() for c in frame if c.dtype == pl.Int64):  # an id of its own
        return None
    lines = pl.int_range(line, line + n_lines, dtype=pl.Int64, eager=True).alias("line")
    return frame.select(
        lines,
        *(
            pl.col(k).cast(pl.String if schema[k] == pl.Categorical else schema[k]).alias(name)
            for name, k in keys.items()
        ),
    )


def _types(row: bytes, keys: Mapping[str, str]) -> dict[str, type[pl.DataType]] | None:
    """How polars is to read the keys, by one object's values; None where one has no plain value."""
    record, _ = _object(row, json.loads)
    schema: dict[str, type[pl.DataType]] = {}
    for name, key in keys.items():
        kind = type(record.get(key)) if record else None
        if kind is str:
            schema[key] = pl.Categorical
        elif name in _NUMBERS and kind in (int, float):
            schema[key] = pl.Float64
        elif kind is int:
            schema[key] = pl.Int64
        else:
            return None
    return schema


def parse_objects(
    data: bytes,
    line: int,
    keys: Mapping[str, str],
    dotted: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> tuple[Batch, int]:
    """Parse whole lines, the first of which is number `line`: the batch, and the number of lines taken.

    `keys`: the key behind each column. `dotted`: those of them that are paths, cut at the dots.
    """
    rows = data.split(b"\n")
    if rows[-1] == b"":
        rows.pop()
    numbers: list[int] = []
    objects: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    for number, row in enumerate(rows, line):
        if row.strip():
            record, reason = _object(row)
            if record is None:
                rejects.append(Reject(number, None, reason, _raw(row)))
            else:
                numbers.append(number)
                objects.append(record)
    columns: dict[str, list[str | None]] = {}
    faults: dict[int, tuple[str, str]] = {}  # index in the block -> key and reason; the first column's stays
    for name, key in keys.items():
        columns[name], bad = _texts(_cells(objects, key, dotted.get(key)), name)
        for index, reason in bad.items():
            faults.setdefault(index, (key, reason))
    frame = pl.DataFrame(
        {"line": numbers, **columns}, schema={"line": pl.Int64, **dict.fromkeys(keys, pl.String)}
    )
    if faults:
        frame = frame.filter(~pl.int_range(pl.len()).is_in(list(faults)))
        rejects += [
            Reject(numbers[index], key, reason, _raw(rows[numbers[index] - line]))
            for index, (key, reason) in faults.items()
        ]
    blank = sum(not row.strip() for row in rows)
    return Batch(frame, _RawLines(data, line), rejects, LineCounts(len(rows), blank)), len(rows)


def _cells(objects: Sequence[dict[str, Any]], key: str, path: Sequence[str] | None) -> list[Any]:
    cells = [record.get(key) if path is None else value_at(record, path) for record in objects]
    return list(map(unwrapped, cells)) if dict in set(map(type, cells)) else cells


def _texts(cells: list[Any], name: str) -> tuple[list[str | None], dict[int, str]]:
    """A column's values as text, and by index why some cannot be (these become None).

    Ids are strings or whole numbers (integers are strings by now), numbers may be floats or true and false; columns
    without a role anything. Lists are JSON where they are asked for.
    """
    faults: dict[int, str] = {}
    if is_free(name) or is_list(name):
        to_text = _list_text if is_list(name) else as_text
        for index, cell in enumerate(cells):
            try:
                cells[index] = to_text(cell)
            except RecursionError:
                cells[index], faults[index] = None, TOO_DEEP
    kinds = set(map(type, cells)) - {str, type(None)}
    if kinds:
        allowed: set[type] = {float} | ({bool} if name in _NUMBERS else set())
        for index, cell in enumerate(cells):
            if name in ("user", "item") and type(cell) is float:
                cells[index] = str(int(cell)) if cell.is_integer() else None
                if cells[index] is None:
                    faults[index] = WRONG_TYPE
            elif type(cell) in allowed:
                cells[index] = repr(cell).lower()
            elif type(cell) in kinds:
                cells[index], faults[index] = None, WRONG_TYPE
    if not encodes("".join(filter(None, cells))):
        for index, cell in enumerate(cells):
            if cell and not encodes(cell):
                cells[index], faults[index] = None, BROKEN_UTF8
    return cells, faults


def _list_text(cell: Any) -> Any:
    """A list as JSON; anything else as it is."""
    return json.dumps(cell, ensure_ascii=False) if isinstance(cell, list) else cell


def as_text(value: Any) -> str | None:
    """Any value as text: lists (also nested ones) joined by `, `, objects as JSON; None stays."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(text for element in value if (text := as_text(element)))
    return json.dumps(value, ensure_ascii=False, default=str)


def encodes(text: str) -> bool:
    """False for half a surrogate pair (`\\ud83d` alone), which is no text."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _raw(row: bytes) -> str:
    return row.removesuffix(b"\r").decode(errors="backslashreplace")
