"""JSON Lines: an object per line. Integers and strings are ids; everything else says what it is."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from recli.errors import InvalidDataError
from recli.events.options import Advice
from recli.events.sources import Source, Stream
from recli.events.table import Batch, Reject, Table, is_free

INVALID_JSON, NOT_OBJECT, WRONG_TYPE = "invalid JSON", "not a JSON object", "wrong type"
BROKEN_UTF8 = "broken UTF-8"
_SAMPLE = 1_000  # objects whose keys are the columns


# Integers keep their digits, whatever their size; a number with a fraction or exponent is no id.
_decode: Callable[[str], Any] = json.JSONDecoder(parse_int=str).decode


def open_jsonl(stream: Stream, advice: Advice, every_key: bool = False) -> Table | None:
    """Open a file of JSON lines; None where it is empty.

    Its columns: the keys of the first 1,000 objects, or with `every_key` (for which all of the file is held in
    memory) those of all objects.
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
    lines = first.split(b"\n") if every_key else first.split(b"\n", _SAMPLE)[:_SAMPLE]
    sample = (line for line in lines if line.strip())
    names = list(dict.fromkeys(key for line in sample for key in _keys(line)))
    if not names:
        raise _no_objects(stream.source, advice)

    def batches(wanted: Mapping[str, int]) -> Iterator[Batch]:
        keys = {name: names[number] for name, number in wanted.items()}
        line = 1
        for block in _rejoined(first, last, blocks):
            batch, taken = parse_objects(block, line, keys)
            line += taken
            yield batch

    return Table(names, batches)


def _no_objects(source: Source, advice: Advice) -> InvalidDataError:
    return InvalidDataError(
        f"{source}: none of the first lines is a JSON object with keys",
        f"is it CSV? say so: {advice.format} csv" if advice.format else "is it CSV? call it .csv",
    )


def _rejoined(first: bytes, last: bool, blocks: Iterator[tuple[bytes, bool]]) -> Iterator[bytes]:
    yield first
    if not last:
        yield from (block for block, _ in blocks)


def _keys(line: bytes) -> Iterable[str]:
    found, _ = _object(line)
    return found or ()


def _object(line: bytes) -> tuple[dict[str, Any] | None, str]:
    """The object of a line, or None and the reason."""
    try:
        made = _decode(line.decode())
    except UnicodeDecodeError:
        return None, BROKEN_UTF8
    except (ValueError, RecursionError):
        return None, INVALID_JSON
    return (made, "") if isinstance(made, dict) else (None, NOT_OBJECT)


def parse_objects(data: bytes, line: int, keys: Mapping[str, str]) -> tuple[Batch, int]:
    """Parse whole lines, the first of which is number `line`: the batch, and the number of lines taken.

    `keys`: the key behind each column.
    """
    import polars as pl

    rows = data.split(b"\n")
    if rows[-1] == b"":
        rows.pop()
    numbers: list[int] = []
    objects: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    for number, row in enumerate(rows, line):
        if row.strip():
            found, reason = _object(row)
            if found is None:
                rejects.append(Reject(number, None, reason, _raw(row)))
            else:
                numbers.append(number)
                objects.append(found)
    columns: dict[str, list[str | None]] = {}
    faults: dict[int, tuple[str, str]] = {}  # place in the block -> key and reason; the first column's stays
    for name, key in keys.items():
        columns[name], bad = _texts([found.get(key) for found in objects], name)
        for place, reason in bad.items():
            faults.setdefault(place, (key, reason))
    frame = pl.DataFrame(
        {"line": numbers, **columns}, schema={"line": pl.Int64, **dict.fromkeys(keys, pl.String)}
    )
    if faults:
        frame = frame.filter(~pl.int_range(pl.len()).is_in(list(faults)))
        rejects += [
            Reject(numbers[place], key, reason, _raw(rows[numbers[place] - line]))
            for place, (key, reason) in faults.items()
        ]
    return Batch(frame, lambda at: [_raw(rows[n - line]) for n in at], rejects), len(rows)


def _texts(cells: list[Any], name: str) -> tuple[list[str | None], dict[int, str]]:
    """A column's values as text, and by place why some cannot be (these become None).

    Ids are strings or integers (strings by now), numbers may be floats; columns without a role anything.
    """
    if is_free(name):
        cells = [as_text(cell) for cell in cells]
    faults: dict[int, str] = {}
    kinds = set(map(type, cells)) - {str, type(None)}
    if kinds:
        allowed = {float} if name not in ("user", "item") else set()
        for place, cell in enumerate(cells):
            if type(cell) in allowed:
                cells[place] = repr(cell)
            elif type(cell) in kinds:
                cells[place], faults[place] = None, WRONG_TYPE
    if not _encodes("".join(filter(None, cells))):
        for place, cell in enumerate(cells):
            if cell and not _encodes(cell):
                cells[place], faults[place] = None, BROKEN_UTF8
    return cells, faults


def as_text(value: Any) -> str | None:
    """Any value as text: lists (also nested ones) joined by `, `, objects as JSON; None stays."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(text for one in value if (text := as_text(one)))
    return json.dumps(value, ensure_ascii=False, default=str)


def _encodes(text: str) -> bool:
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
