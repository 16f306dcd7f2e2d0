"""Users to recommend to: users of the run, new users with a history, users with only a text profile."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any, NamedTuple

import numpy as np

from recli.data.history import History
from recli.data.weights import AS_THEY_ARE, WeightTransform
from recli.errors import InvalidDataError, UsageError, did_you_mean
from recli.schema import CSR, Float32, Int32, Int64


class NewUserHistory(NamedTuple):
    """The history of a new user."""

    items: Int64  # (m,), row numbers, ascending
    values: Float32  # (m,)
    steps: Int32  # (m,), how many of the items came later


@dataclass(frozen=True)
class UserQueries:
    """Users to recommend to, in order. `rows`: int64 (n,), row numbers of the run's users, -1 for new ones."""

    user_ids: list[str]
    rows: Int64
    histories: dict[int, NewUserHistory] = field(default_factory=dict)  # by position
    disliked: dict[int, dict[int, float]] = field(
        default_factory=dict
    )  # by position: how strongly, by item; 0: seen
    profiles: dict[int, str] = field(default_factory=dict)  # by position
    allowed: dict[int, list[int]] = field(default_factory=dict)  # by position: only these items
    excluded: dict[int, list[int]] = field(default_factory=dict)  # by position: none of these items
    lengths: dict[int, int] = field(
        default_factory=dict
    )  # by position: of the list, where the request says it
    skipped: list[str] = field(default_factory=list)  # unknown users, left out
    n_items: int = 0  # of the catalogue
    repeated: int = 0  # ids that were named before
    unknown_items: list[str] = field(default_factory=list)  # in histories, left out
    unknown_limits: list[str] = field(default_factory=list)  # in allow and exclude, left out
    unused_profiles: int = 0  # beside a history with known items

    def rows_of(self, known: CSR) -> CSR:
        """Their rows of `known`, float32 (n_users, n_items): (n, n_items), with all that new users did."""
        return self.histories_of(History(known)).seen

    def masked(self, own: CSR | None) -> CSR | None:
        """Items that are never listed, (n, n_items): the users' `own`, and what requests exclude.

        `own`: None: users' own items may be listed.
        """
        from scipy.sparse import csr_matrix

        n, n_items = len(self.rows), self.n_items
        rows: dict[int, list[int] | Int64] = {**self.excluded}
        for position, items in self.allowed.items():
            kept = np.zeros(n_items, dtype=bool)
            kept[items] = True
            kept[list(self.excluded.get(position, ()))] = False
            rows[position] = np.flatnonzero(~kept)
        if not rows:
            return own
        lengths = np.zeros(n + 1, dtype=np.int64)
        for position, items_of in rows.items():
            lengths[position + 1] = len(items_of)
        indices = np.concatenate([np.asarray(rows[position], dtype=np.int64) for position in sorted(rows)])
        ones = np.ones(indices.size, dtype=np.float32)
        more = csr_matrix((ones, indices, np.cumsum(lengths)), shape=(n, n_items))
        return more if own is None else (own + more).tocsr()

    def histories_of(self, known: History) -> History:
        """Their histories, (n, n_items): those of known users are rows of `known`, (n_users, n_items).

        New users' are in order if the known ones are: a model that uses the order was trained with one.
        """
        from scipy.sparse import csr_matrix, vstack

        if not self.histories and (self.rows >= 0).all():
            return known[self.rows]
        new_histories = [self.histories[position] for position in sorted(self.histories)]
        lengths = np.zeros(len(self.rows), dtype=np.int64)
        lengths[sorted(self.histories)] = [h.items.size for h in new_histories]
        new = csr_matrix(
            (
                np.concatenate([np.empty(0, dtype=np.float32), *(h.values for h in new_histories)]),
                np.concatenate([np.empty(0, dtype=np.int64), *(h.items for h in new_histories)]),
                np.concatenate([[0], np.cumsum(lengths)]),
            ),
            shape=(len(self.rows), known.shape[1]),
        )
        steps = (
            None if known.steps is None else np.concatenate([known.steps, *(h.steps for h in new_histories)])
        )
        none = csr_matrix(new.shape, dtype=np.float32)
        others = (
            None if matrix is None else vstack([matrix, none], format="csr")
            for matrix in (known.negatives, known.also_seen)
        )
        both = History(vstack([known.values, new], format="csr"), steps, *others)
        new_rows = np.arange(len(self.rows)) + known.shape[0]
        return self._with_disliked(both[np.where(self.rows >= 0, self.rows, new_rows)])

    def _with_disliked(self, history: History) -> History:
        """The histories, (n, n_items), with what new users disliked."""
        from scipy.sparse import csr_matrix

        if not self.disliked:
            return history
        cells = [(row, item, value) for row, items in self.disliked.items() for item, value in items.items()]
        rows, items, strengths = (np.array(column) for column in zip(*cells, strict=True))
        seen = csr_matrix((np.ones(len(cells), dtype=np.float32), (rows, items)), shape=history.shape)
        negatives = csr_matrix((strengths.astype(np.float32), (rows, items)), shape=history.shape)
        negatives.eliminate_zeros()
        return replace(
            history,
            negatives=negatives if history.negatives is None else history.negatives + negatives,
            also_seen=seen if history.also_seen is None else history.also_seen + seen,
        )


def all_users(user_ids: Sequence[str]) -> UserQueries:
    """All users of the run, in the order of rows."""
    return UserQueries(list(user_ids), np.arange(len(user_ids), dtype=np.int64))


COMMAND_LINE = "--users"  # the origin of an id that was typed, not read from a file


def lines_of(file: IO[bytes], name: str) -> Iterator[tuple[str, str]]:
    """The lines of a text file as (origin, text). Raises `InvalidDataError` for what is no UTF-8 text."""
    for number, line in enumerate(file, start=1):
        origin = f"{name} line {number}"
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise InvalidDataError(f"{origin} is not UTF-8: {error.reason}") from None
        if "\0" in text:
            raise InvalidDataError(f"{origin} has a NUL character: is it a text file?")
        yield origin, text


def parse(
    lines: Iterable[tuple[str, str]],
    users: dict[str, int],
    items: dict[str, int],
    *,
    skip_unknown: bool = False,
    needs: str | None = None,
    weights: WeightTransform = AS_THEY_ARE,
) -> UserQueries:
    """Read users from lines, each with its origin (`users.txt line 3`) for messages.

    New users without an id are called new-1, new-2, ... by the number of their line, blank ones not counted. A
    line is an id, or JSON: {"user_id": "x"}; {"user_id": "n1", "history": ["a", {"item_id": "b", "value": 2}]};
    {"user_id": "p", "profile": "likes dark comedies"}. The history in a line replaces that of a known user; its order
    is that of the events, the latest last, and an item that is repeated counts at its last position. Values are
    weights as in the log: `weights` makes of them what models learned from. A value of 0 or less says that the user had
    the item, but does not like it: it is not listed. Any line may have "allow" and "exclude", lists of item ids, and
    "k". `needs`:
    `history` or `profile`, where each line must have one. Raises `InvalidDataError` for bad lines, `RecliError`
    for unknown users unless `skip_unknown`.
    """
    queries = UserQueries([], np.empty(0, dtype=np.int64), n_items=len(items))
    seen: set[str] = set()
    rows: list[int] = []
    repeated = unused_profiles = 0
    for number, (origin, text) in enumerate(((p, t.strip()) for p, t in lines if t.strip()), start=1):
        row: dict[str, Any] = _object(origin, text) if text.startswith("{") else {"user_id": text}
        if needs and needs not in row:
            raise InvalidDataError(f'{origin}: there is no "{needs}" in it', _FORMS)
        _check(origin, row)
        new = "history" in row or "profile" in row
        user_id = row.get("user_id", f"new-{number}" if new else None)
        if user_id is None:
            raise InvalidDataError(
                f'{origin}: neither "user_id" nor "history" nor "profile" is in it', _FORMS
            )
        if user_id in seen:
            if new:
                raise InvalidDataError(f"{origin}: user {user_id!r} came before", "give each user another id")
            repeated += 1
            continue
        seen.add(user_id)
        if not new and user_id not in users:
            if not skip_unknown:
                raise UsageError(
                    f"{origin}: there is no user {user_id!r}"
                    + (", and no file of that name" if origin == COMMAND_LINE else ""),
                    did_you_mean(user_id, list(users))
                    or "leave unknown users out with --skip-unknown, or give a history: " + _FORMS,
                )
            queries.skipped.append(user_id)
            continue
        rows.append(-1 if new else users[user_id])
        queries.user_ids.append(user_id)
        unused_profiles += _add(queries, origin, row, items, weights)
        _limit(queries, row, items)
    return replace(
        queries,
        rows=np.asarray(rows, dtype=np.int64),
        repeated=repeated,
        unknown_items=list(dict.fromkeys(queries.unknown_items)),
        unknown_limits=list(dict.fromkeys(queries.unknown_limits)),
        unused_profiles=unused_profiles,
    )


_FIELDS = ("user_id", "history", "profile", "allow", "exclude", "k")
_MAX_K = 1_000_000
_LEVELS = 8  # of nesting in a line
_FORMS = '{"user_id": "new", "history": ["item", ...]} or {"user_id": "new", "profile": "text"}'


def _add(
    queries: UserQueries, origin: str, row: dict[str, Any], items: dict[str, int], weights: WeightTransform
) -> bool:
    """Add history or profile of the last user; whether the profile is unused, as there is a history."""
    position = len(queries.user_ids) - 1
    history: dict[int, float] = {}
    disliked: dict[int, float] = {}
    for entry in row.get("history", ()):
        item_id, value = _entry(origin, entry)
        if item_id not in items:
            queries.unknown_items.append(item_id)
            continue
        item = items[item_id]
        likes, dislikes = history.pop(item, 0.0), disliked.pop(item, 0.0)  # the latest event decides
        if value > 0:
            # Taken out and put in again: the dict's order is that of the latest events.
            history[item] = likes + value
        else:
            disliked[item] = dislikes - value
    if disliked:
        queries.disliked[position] = disliked
    if history:
        latest_last = np.fromiter(history, dtype=np.int64)
        order = np.argsort(latest_last)
        values = np.fromiter(history.values(), dtype=np.float32)
        if any(isinstance(entry, dict) and "value" in entry for entry in row["history"]):
            values = weights.of_history(values.astype(np.float64))  # else each counts 1, the mean value
        queries.histories[position] = NewUserHistory(
            latest_last[order], values[order], (order.size - 1 - order).astype(np.int32)
        )
    profile = row.get("profile", "").strip()
    if profile and not history:
        queries.profiles[position] = profile
    return bool(profile and history)


def _limit(queries: UserQueries, row: dict[str, Any], items: dict[str, int]) -> None:
    """Add which items the last user's list may have, and how many."""
    position = len(queries.user_ids) - 1
    for name, limits in (("allow", queries.allowed), ("exclude", queries.excluded)):
        if name in row:
            limits[position] = sorted({items[id] for id in row[name] if id in items})
            queries.unknown_limits.extend(id for id in row[name] if id not in items)
    if "k" in row:
        queries.lengths[position] = row["k"]


def _object(origin: str, text: str) -> dict[str, Any]:
    try:
        row: dict[str, Any] = json.loads(text)
        deep = _is_deep(row)
    except ValueError as error:
        raise InvalidDataError(f"{origin} is not JSON: {error}", _FORMS) from None
    except RecursionError:
        deep = True
    if deep:
        raise InvalidDataError(f"{origin}: lists or objects nested more than {_LEVELS} levels deep", _FORMS)
    return row


def _is_deep(row: object) -> bool:
    layer = [row]
    for _ in range(_LEVELS):
        layer = [
            inner
            for value in layer
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
    return any(isinstance(value, dict | list) for value in layer)


def _check(origin: str, row: dict[str, Any]) -> None:
    for name, kind, what in (
        ("user_id", str, "a string"),
        ("history", list, "a list of items"),
        ("profile", str, "a text"),
        ("allow", list, "a list of item ids"),
        ("exclude", list, "a list of item ids"),
        ("k", int, "a whole number of at least 1"),
    ):
        if name in row and not isinstance(row[name], kind):
            raise InvalidDataError(f'{origin}: "{name}" must be {what}, not {row[name]!r}', _FORMS)
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidDataError(f"{origin}: a character in it is half of a pair (a lone surrogate)") from None
    k = row.get("k", 1)
    if isinstance(k, bool) or not 1 <= k <= _MAX_K:
        raise InvalidDataError(
            f'{origin}: "k" must be a whole number from 1 to {_MAX_K:,}, not {k!r}', _FORMS
        )
    for name in ("allow", "exclude"):
        bad = next((id for id in row.get(name, ()) if not isinstance(id, str)), None)
        if bad is not None:
            raise InvalidDataError(f'{origin}: item ids in "{name}" are strings in quotes, not {bad!r}')
    unknown = [name for name in row if name not in _FIELDS]
    if unknown:
        close = did_you_mean(unknown[0], _FIELDS)
        raise InvalidDataError(
            f'{origin}: unknown field "{unknown[0]}"; fields: {", ".join(_FIELDS)}', close or _FORMS
        )


def _entry(origin: str, entry: Any) -> tuple[str, float]:
    """Item id and value of one entry of a history: an id, or {"item_id": ..., "value": ...}."""
    value: Any = 1.0
    if isinstance(entry, dict):
        item_id, value = entry.get("item_id"), entry.get("value", 1.0)
    else:
        item_id = entry
    if not isinstance(item_id, str):
        raise InvalidDataError(f'{origin}: item ids are strings in quotes, not {entry!r} ("007" is not 7)')
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidDataError(f"{origin}: the value of item {item_id!r} must be a number, not {value!r}")
    return item_id, float(value)
