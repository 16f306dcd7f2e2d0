"""One row per user and item: merge repeated events."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import numpy as np

from recli.compute.threads import cores
from recli.data.event_columns import BLOCK, Column, Rows, order_name
from recli.data.lexsort import lexorder
from recli.schema import Bool, Int64

DUPLICATES = ("sum", "distinct", "last", "max")
_THREADS = 8  # at most: each needs some 150 bytes for a row of its block


def merge(rows: Rows, how: str, n_users: int, block: int = BLOCK) -> tuple[int, int]:
    """Merge the events of a user with an item, in place, and sort by user, time, item.

    `how`: the value becomes the `sum` (`distinct` too, after `find_identical`), the `max`, or the `last` one's; rating
    and time are the last one's.
    Last is the latest in position, or else in time (then the largest value), or else the last in the log. A pair that
    is in two given parts stays in the first of them. Returns the rows merged and those left out for that reason.
    """
    n, end, repeated = len(rows), 0, 0
    edges = gather_users(rows, n_users, block)
    blocks = ({c: a[i:j] for c, a in rows.columns.items()} for i, j in pairwise(edges) if i < j)
    with ThreadPoolExecutor(min(_THREADS, cores())) as pool:
        for columns, in_earlier in pool.map(partial(_merge_block, how=how), blocks):
            size = columns["user"].size
            for name, column in columns.items():  # never ahead of what is still to be read
                rows.columns[name][end : end + size] = column
            end, repeated = end + size, repeated + in_earlier
    rows.apply(lambda column: column[:end].copy() if end < n else column)
    return n - end - repeated, repeated


def tied(rows: Rows) -> int:
    """How many events of merged rows are at the same time as another one of their user."""
    times = rows.columns.get("timestamp")
    if times is None:
        return 0
    same = (rows.user[1:] == rows.user[:-1]) & (times[1:] == times[:-1])
    return int(np.count_nonzero(np.append(same, False) | np.append(False, same)))


def gather_users(rows: Rows, n_users: int, block: int) -> list[int]:
    """Bring the rows of neighboring users together, in their order. Returns the edges of blocks of users."""
    counts = np.bincount(rows.user, minlength=n_users)
    group = ((np.cumsum(counts) - counts) // block).astype(np.uint16)  # 16 bits: numpy sorts them by radix
    order = np.argsort(group[rows.user], kind="stable")  # int64 (n,)
    rows.apply(lambda column: column[order])
    sizes = np.bincount(group, weights=counts)
    return [0, *np.cumsum(sizes).astype(np.int64).tolist()]


def _merge_block(columns: dict[str, Column], how: str) -> tuple[dict[str, Column], int]:
    order = _order(columns)
    columns = {name: column[order] for name, column in columns.items()}
    pair = (columns["user"].astype(np.int64) << 32) | columns["item"]
    new_pair = np.append(True, pair[1:] != pair[:-1])[: pair.size]
    first = new_pair
    if "part" in columns:
        first = new_pair | np.append(True, columns["part"][1:] != columns["part"][:-1])[: pair.size]
    begins = np.flatnonzero(first)
    ends = np.append(begins[1:], pair.size) - 1  # the last of each pair
    merged = {name: column[ends] for name, column in columns.items()}
    if how != "last":
        merged["value"] = _reduce(columns["value"], begins, how)
    keep: Bool = new_pair[begins]
    merged = {name: column[keep] for name, column in merged.items()}
    by = order_name(merged)
    if by is not None:  # the rows are sorted by item: a stable sort leaves ties by item
        by_time = lexorder((merged[by], merged["user"]))
        merged = {name: column[by_time] for name, column in merged.items()}
    return merged, int(_sizes(begins, pair.size)[~keep].sum())


def _sizes(begins: Int64, n: int) -> Int64:
    return np.diff(np.append(begins, n))


def _order(columns: dict[str, Column]) -> Int64:
    """Sort by user, item, part, and time, value, rating where there are times; else the log's order stays."""
    keys = [columns["item"], columns["user"]]
    if "part" in columns:
        keys.insert(0, columns["part"])
    by = order_name(columns)
    if by is not None:
        late = [columns[name] for name in ("rating", "value", by) if name in columns]
        keys = [*late, *keys]
    return lexorder(keys)


def _reduce(value: Column, begins: Int64, how: str) -> Column:
    if how == "max":
        return np.maximum.reduceat(value, begins)
    sums = np.add.reduceat(value.astype(np.float64), begins)
    return np.minimum(sums, np.finfo(np.float32).max).astype(np.float32)
