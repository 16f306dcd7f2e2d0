"""Pseudonyms of user ids: keyed hashes, so that a guess can only be checked with the key."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

import numpy as np
import polars as pl

from recli.data.event_columns import Rows

BITS = 128


def pseudonyms(ids: Iterable[str], key: bytes) -> list[str]:
    """HMAC-SHA256 of each id under `key`, the first 128 bits as hex (RFC 2104; NIST SP 800-107 on truncation)."""
    whole = hmac.new(key, digestmod=hashlib.sha256)
    names = []
    for user_id in ids:
        mac = whole.copy()  # the key schedule is done once
        mac.update(user_id.encode())
        names.append(mac.hexdigest()[: BITS // 4])
    return names


def pseudonymize(user_ids: pl.Series, key: bytes, *tables: Rows) -> pl.Series:
    """Replace user ids by their pseudonyms: returns these, sorted, and renumbers the tables in place."""
    names = pl.Series(user_ids.name, pseudonyms(user_ids, key), dtype=pl.String)
    order = names.arg_sort().to_numpy()
    new_rows = np.empty(order.size, dtype=np.int32)
    new_rows[order] = np.arange(order.size, dtype=np.int32)
    for rows in tables:
        rows.columns["user"] = new_rows[rows.user]
    return names.sort()
