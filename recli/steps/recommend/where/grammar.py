"""Parses a condition as after WHERE in SQL to a tree of nodes.

Comparisons, IN, LIKE, ILIKE, BETWEEN, IS NULL, AND, OR, NOT, arithmetic, CAST and the functions of `FUNCTIONS`. The
length and the depth of nesting are bounded; chains of AND, OR and operators are parsed in loops, so that only
nesting takes stack.
"""

from __future__ import annotations

import datetime
import math
import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

from recli.errors import UsageError

MAX_LENGTH = 1_000_000  # characters
MAX_DEPTH = 40  # parentheses, NOTs, minus signs and functions inside each other
FUNCTIONS = {  # least and most arguments
    "LOWER": (1, 1), "UPPER": (1, 1), "LENGTH": (1, 1), "REPLACE": (3, 3), "TRIM": (1, 1), "COALESCE": (1, 100),
    "ABS": (1, 1), "ROUND": (1, 2),
}  # fmt: skip
TYPES = {
    "INT": "INT", "INTEGER": "INT", "BIGINT": "INT", "DOUBLE": "DOUBLE", "FLOAT": "DOUBLE", "REAL": "DOUBLE",
    "TEXT": "TEXT", "VARCHAR": "TEXT", "STRING": "TEXT", "BOOLEAN": "BOOLEAN", "BOOL": "BOOLEAN", "DATE": "DATE",
}  # fmt: skip
EXAMPLE = "write it as after WHERE in SQL, e.g. --where \"year >= 2000 AND genres LIKE '%Comedy%'\""

Scalar = None | bool | int | float | str | datetime.date


@dataclass(frozen=True)
class Node:
    """A part of the condition, from the character `start` to before `end`."""

    start: int
    end: int


@dataclass(frozen=True)
class Literal(Node):
    value: Scalar


@dataclass(frozen=True)
class Column(Node):
    name: str


@dataclass(frozen=True)
class Arithmetic(Node):
    """`first` and what follows it, from left to right: + - * / % and the operand."""

    first: Node
    rest: tuple[tuple[str, Node], ...]


@dataclass(frozen=True)
class Negative(Node):
    operand: Node


@dataclass(frozen=True)
class Logical(Node):
    """Terms that are joined by AND or by OR."""

    operator: str
    terms: tuple[Node, ...]


@dataclass(frozen=True)
class Not(Node):
    operand: Node


@dataclass(frozen=True)
class Comparison(Node):
    """`operator`: = != < <= > >=."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True)
class In(Node):
    operand: Node
    values: tuple[Node, ...]
    negated: bool


@dataclass(frozen=True)
class Like(Node):
    operand: Node
    regex: str
    ignore_case: bool
    negated: bool


@dataclass(frozen=True)
class Between(Node):
    operand: Node
    low: Node
    high: Node
    negated: bool


@dataclass(frozen=True)
class Is(Node):
    """`value`: None, True or False."""

    operand: Node
    value: bool | None
    negated: bool


@dataclass(frozen=True)
class Cast(Node):
    """`type`: INT, DOUBLE, TEXT, BOOLEAN or DATE."""

    operand: Node
    type: str


@dataclass(frozen=True)
class Call(Node):
    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class _Token:
    kind: str  # text, name, quoted, number, symbol, end
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """An unquoted name in capital letters, a symbol as it is."""
        return self.text.upper() if self.kind == "name" else self.text if self.kind == "symbol" else ""


_TOKENS = re.compile(
    r"""\s*(?:(?P<text>'(?:[^']|'')*')|(?P<quoted>"(?:[^"]|"")*"|`[^`]*`)
    |(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))|(?P<name>[^\W\d]\w*)
    |(?P<symbol><=|>=|<>|!=|==|[-+*/%(),=<>]))""",
    re.VERBOSE,
)
_RESERVED = ("AND", "OR", "NOT", "IN", "LIKE", "ILIKE", "BETWEEN", "IS", "ESCAPE", "AS")
_CONSTANTS: dict[str, bool | None] = {"NULL": None, "TRUE": True, "FALSE": False}
_COMPARISONS = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def parse(condition: str) -> Node:
    """The tree of a condition. Raises `UsageError`, which says where something else was expected."""
    if len(condition) > MAX_LENGTH:
        raise UsageError(
            f"--where: a condition of {len(condition):,} characters; at most {MAX_LENGTH:,} are read",
            "name items with --allow FILE or --deny FILE instead",
        )
    return _Parser(condition).parse()


def shown(condition: str, most: int = 120) -> str:
    """The condition in quotes, shortened."""
    return repr(condition if len(condition) <= most else condition[: most - 3] + "...")


def like_regex(pattern: str, escape: str | None = None) -> str:
    """The pattern of LIKE as a regular expression: % is any text, _ one character. Raises `ValueError`."""
    parts, escaped = [], False
    for character in pattern:
        if escaped or character not in ("%", "_", escape):
            if escaped and character not in ("%", "_", escape):
                raise ValueError(f"in a pattern, {escape} comes before %, _ or {escape} only")
            parts.append(f"\\{character}" if character in string.punctuation else character)
            escaped = False
        elif character == escape:
            escaped = True
        else:
            parts.append(".*" if character == "%" else ".")
    if escaped:
        raise ValueError(f"a pattern ends with {escape}, which escapes nothing")
    return f"(?s)^{''.join(parts)}$"


class _Parser:
    def __init__(self, condition: str) -> None:
        self.condition = condition
        self.tokens = self._tokens()
        self.position = 0
        self.depth = 0

    def parse(self) -> Node:
        node = self._or()
        if self._next.kind != "end":
            raise self._expected("AND, OR or the end")
        return node

    def _tokens(self) -> list[_Token]:
        tokens, at, end = [], 0, len(self.condition.rstrip())
        while at < end:
            match = _TOKENS.match(self.condition, at)
            if match is None:
                at += len(self.condition[at:]) - len(self.condition[at:].lstrip())
                raise self._error(at, *self._bad_character(at))
            kind = str(match.lastgroup)
            tokens.append(_Token(kind, match[kind], match.start(kind), match.end()))
            at = match.end()
        return [*tokens, _Token("end", "", end, end)]

    def _bad_character(self, at: int) -> tuple[str, str]:
        character = self.condition[at]
        if character in "'\"`":
            return f"the quote {character} is not closed", "a quote inside a text is doubled: 'it''s'"
        if character in "‘’“”´":
            return f"{character} is no quote in SQL", "text goes into straight single quotes: 'Comedy'"
        if character.isdigit():
            return f"{self.condition[at:].split()[0]!r} is no number", EXAMPLE
        if character in "&|":
            return f"{character!r} is no operator", "write AND or OR"
        return f"{character!r} is not understood", EXAMPLE

    def _error(self, at: int, what: str, fix: str = EXAMPLE) -> UsageError:
        return UsageError(f"--where {shown(self.condition)}, character {at + 1}: {what}", fix)

    def _expected(self, what: str) -> UsageError:
        token = self._next
        found = "the end" if token.kind == "end" else repr(token.text)
        fix = EXAMPLE
        if token.word == "CONTAINS":
            fix = "there is no `contains` in SQL: write genres LIKE '%Comedy%' (ILIKE: small and capital letters alike)"
        return self._error(token.start, f"expected {what}, found {found}", fix)

    @property
    def _next(self) -> _Token:
        return self.tokens[self.position]

    def _take(self) -> _Token:
        token = self._next
        self.position += 1
        return token

    def _took(self, *words: str) -> str | None:
        """The next word or symbol where it is one of `words`; it is taken."""
        word = self._next.word
        if word and word in words:
            self.position += 1
            return word
        return None

    def _need(self, word: str) -> None:
        if not self._took(word):
            raise self._expected(word)

    @property
    def _end(self) -> int:
        return self.tokens[self.position - 1].end

    def _nested(self, start: int, inside: Callable[[], Node]) -> Node:
        """What `inside` parses, one level deeper."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._error(
                start, f"nested deeper than {MAX_DEPTH} levels", "write it with fewer parentheses, or with IN"
            )
        node = inside()
        self.depth -= 1
        return node

    def _or(self) -> Node:
        return self._logical("OR", lambda: self._logical("AND", self._not))

    def _logical(self, operator: str, term: Callable[[], Node]) -> Node:
        terms = [term()]
        while self._took(operator):
            terms.append(term())
        return terms[0] if len(terms) == 1 else Logical(terms[0].start, self._end, operator, tuple(terms))

    def _not(self) -> Node:
        start = self._next.start
        if self._took("NOT"):
            operand = self._nested(start, self._not)
            return Not(start, self._end, operand)
        return self._predicate()

    def _predicate(self) -> Node:
        left = self._sum()
        while True:
            if operator := self._took(*_COMPARISONS):
                right = self._sum()
                left = Comparison(left.start, self._end, _COMPARISONS[operator], left, right)
                if self._next.word in _COMPARISONS:
                    raise self._expected("AND, OR or the end")
                return left
            if self._took("IS"):
                left = self._is(left)
                continue
            negated = bool(self._took("NOT"))
            if self._took("IN"):
                return self._in(left, negated)
            if self._took("BETWEEN"):
                return self._between(left, negated)
            if like := self._took("LIKE", "ILIKE"):
                return self._like(left, like == "ILIKE", negated)
            if negated:
                raise self._expected("IN, LIKE, ILIKE or BETWEEN")
            return left

    def _is(self, left: Node) -> Node:
        negated = bool(self._took("NOT"))
        word = self._took(*_CONSTANTS)
        if word is None:
            raise self._expected("NULL, TRUE or FALSE")
        return Is(left.start, self._end, left, _CONSTANTS[word], negated)

    def _in(self, left: Node, negated: bool) -> Node:
        self._need("(")
        values = self._list()
        return In(left.start, self._end, left, values, negated)

    def _list(self) -> tuple[Node, ...]:
        """Values with commas, and the closing parenthesis."""
        start = self._next.start
        values = [self._nested(start, self._sum)]
        while self._took(","):
            values.append(self._nested(start, self._sum))
        if not self._took(")"):
            raise self._expected(", or )")
        return tuple(values)

    def _between(self, left: Node, negated: bool) -> Node:
        low = self._sum()
        self._need("AND")
        high = self._sum()
        return Between(left.start, self._end, left, low, high, negated)

    def _like(self, left: Node, ignore_case: bool, negated: bool) -> Node:
        pattern, escape = self._text("a pattern in single quotes"), None
        if self._took("ESCAPE"):
            at = self._next.start
            escape = self._text("one character in single quotes")
            if len(escape) != 1:
                raise self._error(at, "ESCAPE takes one character")
        try:
            regex = like_regex(pattern, escape)
        except ValueError as error:
            raise self._error(left.end, str(error)) from None
        return Like(left.start, self._end, left, regex, ignore_case, negated)

    def _text(self, what: str) -> str:
        if self._next.kind != "text":
            raise self._expected(what)
        return self._take().text[1:-1].replace("''", "'")

    def _sum(self) -> Node:
        return self._arithmetic(("+", "-"), lambda: self._arithmetic(("*", "/", "%"), self._signed))

    def _arithmetic(self, operators: tuple[str, ...], operand: Callable[[], Node]) -> Node:
        first = operand()
        rest: list[tuple[str, Node]] = []
        while operator := self._took(*operators):
            rest.append((operator, operand()))
        return Arithmetic(first.start, self._end, first, tuple(rest)) if rest else first

    def _signed(self) -> Node:
        start = self._next.start
        sign = self._took("-", "+")
        if sign is None:
            return self._value()
        operand = self._nested(start, self._signed)
        if sign == "+":
            return operand
        if isinstance(operand, Literal) and type(operand.value) in (int, float):
            return Literal(start, self._end, -operand.value)  # type: ignore[operator]
        return Negative(start, self._end, operand)

    def _value(self) -> Node:
        token = self._next
        if token.kind == "number":
            self._take()
            return Literal(token.start, token.end, self._number(token))
        if token.kind == "text":
            return Literal(token.start, token.end, self._text(""))
        if token.kind == "quoted":
            self._take()
            return Column(token.start, token.end, token.text[1:-1].replace('""', '"'))
        if token.word in _CONSTANTS:
            self._take()
            return Literal(token.start, token.end, _CONSTANTS[token.word])
        if self._took("("):
            inner = self._nested(token.start, self._or)
            self._need(")")
            return replace(inner, start=token.start, end=self._end)
        if token.kind == "name" and token.word not in _RESERVED:
            return self._named()
        raise self._expected("a column or a value")

    def _number(self, token: _Token) -> int | float:
        if token.text.isdecimal() and len(token.text) <= 18:
            return int(token.text)
        number = float(token.text)
        if math.isinf(number):
            raise self._error(token.start, "the number is too large")
        return number

    def _named(self) -> Node:
        """A column, a function of values, or DATE '2024-01-01'."""
        token = self._take()
        if token.word == "DATE" and self._next.kind == "text":
            return self._date(token)
        if not self._took("("):
            return Column(token.start, token.end, token.text)
        if token.word == "CAST":
            return self._cast(token)
        if token.word not in FUNCTIONS:
            raise self._error(
                token.start,
                f"there is no function {token.text!r}",
                f"functions: CAST(... AS ...), {', '.join(FUNCTIONS)}",
            )
        arguments = self._list()
        least, most = FUNCTIONS[token.word]
        if not least <= len(arguments) <= most:
            count = f"{least}" if least == most else f"{least} to {most}"
            raise self._error(token.start, f"{token.word} takes {count} values, not {len(arguments)}")
        return Call(token.start, self._end, token.word, arguments)

    def _cast(self, token: _Token) -> Node:
        operand = self._nested(token.start, self._sum)
        self._need("AS")
        if self._next.word not in TYPES:
            raise self._expected("INT, DOUBLE, TEXT, BOOLEAN or DATE")
        type = TYPES[self._take().word]
        self._need(")")
        return Cast(token.start, self._end, operand, type)

    def _date(self, token: _Token) -> Node:
        text = self._text("")
        try:
            return Literal(token.start, self._end, datetime.date.fromisoformat(text))
        except ValueError:
            raise self._error(token.start, f"{text!r} is no date", "write DATE '2024-12-31'") from None


def nodes_of(tree: Node) -> Iterator[Node]:
    """All nodes of a tree, each before what is in it, from left to right."""
    waiting: list[Node] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        inside = [getattr(node, field.name) for field in fields(node)]
        waiting.extend(reversed([child for value in inside for child in _nodes_in(value)]))


def _nodes_in(value: object) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _nodes_in(part)
