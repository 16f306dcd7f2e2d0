"""What to write instead of a condition that does not fit the data: tried on the data before it is said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import polars as pl

from recli.errors import RecliError
from recli.steps.recommend.where import grammar
from recli.steps.recommend.where.evaluate import (
    BOOLEAN,
    DATE,
    NUMBER,
    OTHER,
    TEXT,
    Evaluator,
    FailedCast,
    TypesError,
    cast_to,
    kind_of,
    normalized,
)
from recli.steps.recommend.where.grammar import Column, Comparison, In, Literal, Node

_SAMPLE = 10_000  # values that remedies are tried on
_SHOWN = 8  # values of a column that are shown


def wrong_types(frame: pl.DataFrame, condition: str, error: TypesError) -> tuple[str, str]:
    """What is wrong with the operand of another type, with a value of it, and what to write."""
    operand, node = error.operand, error.node
    name = condition[operand.start : operand.end]
    example = _example(Evaluator(frame).value(operand))
    what = f"{name} is {error.kind}{example}"
    if operand is node:
        what += ", not a condition"
    elif isinstance(node, Comparison | In | grammar.Between):
        what += f": it cannot be compared with {error.needed}"
    else:
        what += f"; {condition[node.start : node.end]} takes {error.needed}"
    fixes = [fix for fix in (_instead(frame, condition, error), _columns_of(frame, error.needed)) if fix]
    return what, "; ".join(fixes) or grammar.EXAMPLE


def _example(values: pl.Series) -> str:
    there = values.drop_nulls()
    return f" (e.g. {_quoted(there[0])})" if there.len() and kind_of(values) != OTHER else ""


def _quoted(value: object) -> str:
    if isinstance(value, str):
        text = value if len(value) <= 40 else value[:37] + "..."
        text = "".join(c if c.isprintable() else " " for c in text)  # a value must not steer the terminal
        return "'" + text.replace("'", "''") + "'"
    return str(value).upper() if isinstance(value, bool) else str(value)


def _columns_of(frame: pl.DataFrame, kind: str) -> str:
    """The columns that are of the kind that is needed."""
    if kind not in (NUMBER, DATE):
        return ""
    names = [column.name for column in frame if kind_of(column) == kind]
    return f"columns that are {kind[2:]}s: {', '.join(names) or 'none'}"


def _instead(frame: pl.DataFrame, condition: str, error: TypesError) -> str:
    """The condition's part as it works on this data; empty where nothing is found that does."""
    node, operand = error.node, error.operand
    for replaced in _replacements(frame, condition, error):
        part = replaced if operand is node else _with(condition, node, operand, replaced)
        if tried := _tried(frame, part):
            return tried
    literal = next((n for n in _beside(error) if isinstance(n, Literal)), None)
    if literal is not None:
        for text in _literals(frame, error, literal):
            part = _with(condition, node, literal, text)
            if tried := _tried(frame, part):
                return tried
    return ""


def _with(condition: str, node: Node, part: Node, text: str) -> str:
    return condition[node.start : part.start] + text + condition[part.end : node.end]


def _tried(frame: pl.DataFrame, part: str) -> str:
    """To write the part, and how many rows it holds for; empty where it cannot be evaluated."""
    try:
        values = Evaluator(frame).value(grammar.parse(part))
    except (RecliError, TypesError, pl.exceptions.PolarsError):
        return ""
    if kind_of(values) != BOOLEAN or values.len() != frame.height:
        return f"write {part}"
    return f"write {part} (it holds for {int(values.sum()):,} of {frame.height:,} items)"


def _beside(error: TypesError) -> Iterator[Node]:
    """The other operands."""
    for node in grammar.nodes_of(error.node):
        if node is not error.node and node is not error.operand:
            yield node


def _replacements(frame: pl.DataFrame, condition: str, error: TypesError) -> Iterator[str]:
    """Other ways to write the operand, of the kind that is needed."""
    name = condition[error.operand.start : error.operand.end]
    values = Evaluator(frame).value(error.operand)
    if error.kind == TEXT and error.needed == NUMBER:
        if cast := number_cast(name, values):
            yield cast
    elif error.kind == TEXT and error.needed == BOOLEAN:
        if _readable(values, "BOOLEAN") > 0.5:
            yield f"CAST({name} AS BOOLEAN)"
    elif error.kind == TEXT and error.needed == DATE:
        if _readable(values, "DATE") > 0.5:
            yield f"CAST({name} AS DATE)"
    elif error.needed == BOOLEAN and error.kind == NUMBER and error.operand is error.node:
        yield f"{name} != 0"
    elif error.needed == TEXT and not isinstance(error.node, Comparison | In | grammar.Between):
        yield f"CAST({name} AS TEXT)"


def _literals(frame: pl.DataFrame, error: TypesError, literal: Literal) -> Iterator[str]:
    """Other ways to write the constant that the operand is compared with."""
    value = literal.value
    if isinstance(value, str) and error.kind == NUMBER and re.fullmatch(r"\s*[+-]?\d+(\.\d+)?\s*", value):
        yield value.strip()
    elif isinstance(value, str) and error.kind == BOOLEAN:
        read = cast_to(pl.Series([value]), "BOOLEAN")[0]
        if read is not None:
            yield str(read).upper()
    elif isinstance(value, int) and value in (0, 1) and {error.kind, error.needed} == {NUMBER, BOOLEAN}:
        yield str(int(value)) if error.kind == NUMBER else str(bool(value)).upper()


def _readable(values: pl.Series, type: str) -> float:
    """The share of the values that can be read as another type."""
    there = values.drop_nulls().head(_SAMPLE)
    return 0.0 if not there.len() else 1 - cast_to(there, type).null_count() / there.len()


def number_cast(name: str, values: pl.Series) -> str | None:
    """The CAST that reads most of the texts as numbers, without what stands around them; None: not even half."""
    there = values.drop_nulls().head(_SAMPLE)
    best, share = None, 0.5
    for removed, decimal_comma in _cleanings(there):
        cleaned, written = there, name
        for text in removed:
            cleaned = cleaned.str.replace_all(text, "", literal=True)
            written = f"REPLACE({written}, {_quoted(text)}, '')"
        if decimal_comma:
            cleaned = cleaned.str.replace_all(",", ".", literal=True)
            written = f"REPLACE({written}, ',', '.')"
        readable = _readable(cleaned, "DOUBLE")
        if readable > share:
            best, share = f"CAST({written} AS DOUBLE)", readable
    return best


def _cleanings(values: pl.Series) -> Iterator[tuple[list[str], bool]]:
    """What to take out of texts so that numbers are left, the least first; and whether commas are decimal."""
    runs = values.str.extract_all(r"[^0-9.,+\-\s]+").explode().drop_nulls()
    around = runs.value_counts(sort=True)[runs.name].head(3).to_list() if runs.len() else []
    signs = [text for text in around if not re.fullmatch("[eE]", text)]
    decimal_comma = values.str.contains(r"\d,\d{1,2}(\D*)$").mean() or 0.0
    for removed in ([], signs[:1], signs):
        if isinstance(decimal_comma, float) and decimal_comma > 0.5:
            yield removed, True
            yield [*removed, "."], True
        else:
            yield removed, False
            yield [*removed, ","], False


def failed_cast(condition: str, failed: FailedCast) -> str:
    """One line about values that a CAST could not read."""
    cast = condition[failed.node.start : failed.node.end]
    share = f"{failed.count:,} of {failed.of:,} values"
    return (
        f"--where: {cast} cannot read {share}, e.g. {_quoted(failed.example)}: they count as unknown (null)"
    )


def doubts(frame: pl.DataFrame, condition: str, tree: Node) -> Iterator[str]:
    """What holds for no item, or for others than meant, although it can be evaluated."""
    for node in grammar.nodes_of(tree):
        if isinstance(node, Comparison | In):
            yield from _nulls(condition, node)
        for column, literal, operator in _compared(node):
            values = normalized(frame[column.name])
            if kind_of(values) != TEXT:
                continue
            if operator == "=":
                yield from _other_spellings(column.name, values, str(literal.value))
            else:
                yield from _by_letters(condition, node, column, values, str(literal.value))


def _nulls(condition: str, node: Comparison | In) -> Iterator[str]:
    values = (node.left, node.right) if isinstance(node, Comparison) else node.values
    if any(isinstance(value, Literal) and value.value is None for value in values):
        part = condition[node.start : node.end]
        yield f"--where: in {part}, a comparison with NULL is never true; write IS NULL or IS NOT NULL"


def _compared(node: Node) -> Iterator[tuple[Column, Literal, str]]:
    """A column and the constant text that it is compared with, and how: =, or < for an order."""
    pairs: Sequence[tuple[Node, Node]] = ()
    operator = "="
    if isinstance(node, Comparison):
        pairs = ((node.left, node.right), (node.right, node.left))
        operator = "=" if node.operator in ("=", "!=") else "<"
    elif isinstance(node, In):
        pairs = [(node.operand, value) for value in node.values]
    elif isinstance(node, grammar.Between):
        pairs, operator = ((node.operand, node.low), (node.operand, node.high)), "<"
    for column, literal in pairs:
        if isinstance(column, Column) and isinstance(literal, Literal) and isinstance(literal.value, str):
            yield column, literal, operator


def _other_spellings(name: str, values: pl.Series, text: str) -> Iterator[str]:
    """Where no item has this text, but one that differs in case or blanks."""
    if (values == text).any():
        return
    alike = values.filter(values.str.strip_chars().str.to_lowercase() == text.strip().lower())
    if alike.len():
        yield (
            f"--where: no item has {_quoted(text)} in {name}; {alike.len():,} have {_quoted(alike[0])} (LOWER(...) or "
            "ILIKE compare without regard to case, TRIM(...) without blanks around)"
        )


_NUMERIC = r"^\s*[+-]?\d+(\.\d+)?\s*$"


def _by_letters(condition: str, node: Node, column: Column, values: pl.Series, text: str) -> Iterator[str]:
    """Where texts that are numbers are put in the order of letters."""
    there = values.drop_nulls().head(_SAMPLE)
    if not re.match(_NUMERIC, text) or not there.len() or not there.str.contains(_NUMERIC).all():
        return
    part = condition[node.start : node.end]
    name = condition[column.start : column.end]
    yield (
        f"--where: {part} compares texts letter by letter ('9' comes after '10'), and {name} has numbers; "
        f"compare CAST({name} AS DOUBLE) with a number without quotes"
    )


def nothing_matches(frame: pl.DataFrame, condition: str) -> str:
    """What is in the columns of a condition that holds for no item."""
    columns = dict.fromkeys(
        n.name for n in grammar.nodes_of(grammar.parse(condition)) if isinstance(n, Column)
    )
    return "; ".join(contents(frame[name]) for name in columns)


def contents(column: pl.Series) -> str:
    """The range of a column of numbers or dates, the most frequent values of one of texts."""
    values = normalized(column).drop_nulls()
    kind = kind_of(values)
    if not values.len():
        return f"{column.name} is empty"
    if kind in (NUMBER, DATE):
        return f"{column.name} is from {_quoted(values.min())} to {_quoted(values.max())}"
    if kind not in (TEXT, BOOLEAN):
        return f"{column.name} is {kind}"
    counted = values.value_counts(sort=True)[column.name]
    more = f", ... ({counted.len():,} values)" if counted.len() > _SHOWN else ""
    return f"{column.name} has {', '.join(_quoted(value) for value in counted.head(_SHOWN))}{more}"
