"""Evaluates a condition on a frame, node by node, with SQL's three-valued logic."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

from recli.errors import UsageError
from recli.steps.recommend.where import grammar
from recli.steps.recommend.where.grammar import Node

NUMBER, TEXT, BOOLEAN, DATE, NULL, OTHER = "a number", "text", "true or false", "a date", "null", "a list"
_LARGEST = float(1 << 62)


@dataclass(frozen=True)
class TypesError(Exception):
    """A node's operands do not go together: `operand` is of one kind where `needed` is another."""

    node: Node
    operand: Node
    kind: str
    needed: str


@dataclass(frozen=True)
class FailedCast:
    """Values that a CAST could not read: they became null."""

    node: grammar.Cast
    count: int
    of: int
    example: str


def kind_of(values: pl.Series) -> str:
    """What a column holds, in words."""
    dtype = values.dtype
    if dtype == pl.Null:
        return NULL
    if dtype == pl.Boolean:
        return BOOLEAN
    if dtype.is_numeric():
        return NUMBER
    if dtype == pl.String or dtype in (pl.Categorical, pl.Enum):
        return TEXT
    return DATE if dtype in (pl.Date, pl.Datetime) else OTHER


def normalized(values: pl.Series) -> pl.Series:
    """A column as Int64, Float64 (NaN is null), String, Boolean, Date or Datetime; other types as they are."""
    kind = kind_of(values)
    if kind == TEXT:
        return values.cast(pl.String)
    if kind == DATE and values.dtype != pl.Date:
        return values.dt.replace_time_zone(None).cast(pl.Datetime("us"))
    if kind != NUMBER:
        return values
    if values.dtype.is_integer() and values.dtype != pl.UInt64:
        return values.cast(pl.Int64, strict=False)
    return values.cast(pl.Float64).fill_nan(None)


@dataclass
class Evaluator:
    """Evaluates the nodes of one condition; each gives a column of the frame's height, or one value."""

    frame: pl.DataFrame
    failed: list[FailedCast] = field(default_factory=list)
    columns: dict[str, pl.Series] = field(default_factory=dict)

    def condition(self, node: Node) -> pl.Series:
        """Whether a condition holds, Boolean; null: unknown. Raises `TypesError`."""
        values = self.value(node)
        if kind_of(values) not in (BOOLEAN, NULL):
            raise TypesError(node, node, kind_of(values), BOOLEAN)
        return values.cast(pl.Boolean)

    def value(self, node: Node) -> pl.Series:
        method: Callable[[Node], pl.Series] = getattr(self, f"_{type(node).__name__.lower()}")
        return method(node)

    def _of(self, needed: str, node: Node, operand: Node) -> pl.Series:
        """The operand's values, of the kind that the node needs, or null."""
        values = self.value(operand)
        if kind_of(values) not in (needed, NULL):
            raise TypesError(node, operand, kind_of(values), needed)
        types = {NUMBER: pl.Float64, TEXT: pl.String, BOOLEAN: pl.Boolean}
        return values if kind_of(values) == needed else values.cast(types[needed])

    def _literal(self, node: grammar.Literal) -> pl.Series:
        return pl.Series([node.value])

    def _column(self, node: grammar.Column) -> pl.Series:
        if node.name not in self.columns:
            self.columns[node.name] = normalized(self.frame[node.name])
        return self.columns[node.name]

    def _logical(self, node: grammar.Logical) -> pl.Series:
        holds = self.condition(node.terms[0])
        for term in node.terms[1:]:
            left, right = pl.lit(holds), pl.lit(self.condition(term))
            holds = _computed(left & right if node.operator == "AND" else left | right)
        return holds

    def _not(self, node: grammar.Not) -> pl.Series:
        return ~self.condition(node.operand)

    def _comparison(self, node: grammar.Comparison) -> pl.Series:
        return self._compared(node, node.operator, node.left, node.right)

    def _compared(self, node: Node, operator: str, left: Node, right: Node) -> pl.Series:
        one, other = self._alike(node, left, right)
        if NULL in (kind_of(one), kind_of(other)):
            return pl.Series([None], dtype=pl.Boolean).new_from_index(0, max(one.len(), other.len()))
        a, b = pl.lit(one), pl.lit(other)
        compared = {"=": a == b, "!=": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}
        return _computed(compared[operator])

    def _alike(self, node: Node, left: Node, right: Node) -> tuple[pl.Series, pl.Series]:
        """The values of two operands that can be compared."""
        one, other = self.value(left), self.value(right)
        kinds = kind_of(one), kind_of(other)
        if set(kinds) == {TEXT, DATE}:
            one, other = _as_date(one, left), _as_date(other, right)
            kinds = kind_of(one), kind_of(other)
        if OTHER in kinds or (kinds[0] != kinds[1] and NULL not in kinds):
            # the column is what the person can change: not the constant beside it
            constant_first = isinstance(left, grammar.Literal) and not isinstance(right, grammar.Literal)
            operand, kind, needed = (right, *kinds[::-1]) if constant_first else (left, *kinds)
            raise TypesError(node, operand, kind, needed)
        if kinds == (DATE, DATE):
            one, other = one.cast(pl.Datetime("us")), other.cast(pl.Datetime("us"))
        return one, other

    def _in(self, node: grammar.In) -> pl.Series:
        holds = self._compared(node, "=", node.operand, node.values[0])
        for value in node.values[1:]:
            holds = _computed(pl.lit(holds) | pl.lit(self._compared(node, "=", node.operand, value)))
        return ~holds if node.negated else holds

    def _between(self, node: grammar.Between) -> pl.Series:
        low = self._compared(node, ">=", node.operand, node.low)
        high = self._compared(node, "<=", node.operand, node.high)
        holds = _computed(pl.lit(low) & pl.lit(high))
        return ~holds if node.negated else holds

    def _like(self, node: grammar.Like) -> pl.Series:
        flags = "(?i)" if node.ignore_case else ""
        holds = self._of(TEXT, node, node.operand).str.contains(flags + node.regex)
        return ~holds if node.negated else holds

    def _is(self, node: grammar.Is) -> pl.Series:
        if node.value is None:
            holds = self.value(node.operand).is_null()
        else:
            holds = self.condition(node.operand).eq_missing(pl.Series([node.value]))
        return ~holds if node.negated else holds

    def _negative(self, node: grammar.Negative) -> pl.Series:
        return -self._of(NUMBER, node, node.operand)

    def _arithmetic(self, node: grammar.Arithmetic) -> pl.Series:
        result = self._of(NUMBER, node, node.first)
        for operator, operand in node.rest:
            result = _calculated(operator, result, self._of(NUMBER, node, operand))
        return result

    def _cast(self, node: grammar.Cast) -> pl.Series:
        values = self.value(node.operand)
        kind = kind_of(values)
        if (
            kind == OTHER
            or (kind == DATE and node.type not in ("TEXT", "DATE"))
            or (kind in (NUMBER, BOOLEAN) and node.type == "DATE")
        ):
            raise TypesError(node, node.operand, kind, TEXT)
        cast = cast_to(values, node.type)
        failed = values.filter(cast.is_null() & values.is_not_null())
        if failed.len() and all(known.node != node for known in self.failed):
            there = values.len() - values.null_count()
            self.failed.append(FailedCast(node, failed.len(), there, str(failed[0])))
        return cast

    def _call(self, node: grammar.Call) -> pl.Series:
        first = node.arguments[0]
        if node.function == "COALESCE":
            return self._coalesce(node)
        if node.function == "ABS":
            return self._of(NUMBER, node, first).abs()
        if node.function == "ROUND":
            return self._rounded(node)
        texts = self._of(TEXT, node, first)
        if node.function == "REPLACE":
            old, new = (self._constant(node, argument) for argument in node.arguments[1:])
            return texts.str.replace_all(old, new, literal=True) if old else texts
        functions: dict[str, Callable[[], pl.Series]] = {
            "LOWER": texts.str.to_lowercase,
            "UPPER": texts.str.to_uppercase,
            "LENGTH": lambda: texts.str.len_chars().cast(pl.Int64),
            "TRIM": texts.str.strip_chars,
        }
        return functions[node.function]()

    def _constant(self, node: grammar.Call, argument: Node) -> str:
        if not isinstance(argument, grammar.Literal) or not isinstance(argument.value, str):
            raise UsageError(
                f"--where: {node.function} takes constant texts", "write them in single quotes: '$'"
            )
        return argument.value

    def _rounded(self, node: grammar.Call) -> pl.Series:
        digits = node.arguments[1].value if isinstance(node.arguments[-1], grammar.Literal) else None  # type: ignore[attr-defined]
        if len(node.arguments) == 1:
            digits = 0
        if type(digits) is not int or not 0 <= digits <= 15:
            raise UsageError("--where: ROUND takes a number of digits from 0 to 15", "write ROUND(price, 2)")
        values = self._of(NUMBER, node, node.arguments[0])
        return values.round(digits, mode="half_away_from_zero") if values.dtype == pl.Float64 else values

    def _coalesce(self, node: grammar.Call) -> pl.Series:
        result = self.value(node.arguments[0])
        for argument in node.arguments[1:]:
            values = self.value(argument)
            kinds = kind_of(result), kind_of(values)
            if kinds[0] != kinds[1] and NULL not in kinds:
                raise TypesError(node, argument, kinds[1], kinds[0])
            if NULL not in kinds and result.dtype != values.dtype:
                common = pl.Float64 if kinds[0] == NUMBER else pl.Datetime("us")
                result, values = result.cast(common), values.cast(common)
            result = _computed(pl.coalesce(pl.lit(result), pl.lit(values)))
        return result


def _computed(expression: pl.Expr) -> pl.Series:
    return pl.select(value=expression)["value"]


def _as_date(values: pl.Series, node: Node) -> pl.Series:
    """A constant text as the date that it writes; other values as they are."""
    if not isinstance(node, grammar.Literal) or not isinstance(node.value, str):
        return values
    try:
        return pl.Series([datetime.datetime.fromisoformat(node.value).replace(tzinfo=None)])
    except ValueError:
        return values


def _calculated(operator: str, left: pl.Series, right: pl.Series) -> pl.Series:
    """left operator right. Whole numbers stay whole where they fit; / is of real numbers; null where divided by 0."""
    a, b = pl.lit(left), pl.lit(right)
    x, y = a.cast(pl.Float64), b.cast(pl.Float64)
    if operator == "/":
        return _computed(pl.when(y != 0).then(x / y))
    if operator == "%":  # with the sign of what is divided, as in SQL
        return _computed(
            pl.when(b != 0).then(pl.when(a < 0).then(-(a.abs() % b.abs())).otherwise(a.abs() % b.abs()))
        )
    real = _computed({"+": x + y, "-": x - y, "*": x * y}[operator])
    largest = real.abs().max()
    if left.dtype == pl.Float64 or right.dtype == pl.Float64 or (largest is not None and largest > _LARGEST):  # type: ignore[operator]
        return real
    return _computed({"+": a + b, "-": a - b, "*": a * b}[operator])


_TRUE, _FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")


def cast_to(values: pl.Series, type: str) -> pl.Series:
    """The values as another type; null where a value cannot be read as one."""
    text = values.str.strip_chars() if values.dtype == pl.String else None
    if type == "TEXT":
        return values.cast(pl.String)
    if type == "DOUBLE":
        return _finite((values if text is None else text).cast(pl.Float64, strict=False))
    if type == "INT":
        whole = values if text is None else text.cast(pl.Int64, strict=False)
        if text is not None:  # 12.0 and 1e3 too
            real = _finite(text.cast(pl.Float64, strict=False))
            whole = whole.fill_null(real.cast(pl.Int64, strict=False))
        return whole.cast(pl.Int64, strict=False)
    if type == "BOOLEAN":
        return values.cast(pl.Boolean) if text is None else _boolean(text.str.to_lowercase())
    return (
        values.cast(pl.Date) if text is None else text.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
    )


def _finite(values: pl.Series) -> pl.Series:
    return _computed(pl.when(pl.lit(values).is_finite()).then(pl.lit(values)))


def _boolean(texts: pl.Series) -> pl.Series:
    value = pl.lit(texts)
    return _computed(pl.when(value.is_in(_TRUE)).then(True).when(value.is_in(_FALSE)).then(False))
