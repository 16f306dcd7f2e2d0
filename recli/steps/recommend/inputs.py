"""Reads the inputs of recommend: the model, users, candidate items, encoded profiles."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from recli import schema
from recli.errors import RecliError, UsageError, did_you_mean, quoted, unknown_name
from recli.models.base import algorithms
from recli.reporting import SILENT, Reporter, counted
from recli.schema import Bool, Float32, Int64
from recli.steps.recommend import candidates, frames, history_tables
from recli.steps.recommend.choice import best_model, train_command
from recli.steps.recommend.config import RecommendConfig
from recli.steps.recommend.recommender import text_model
from recli.steps.recommend.users import COMMAND_LINE, UserQueries, all_users, lines_of, parse
from recli.steps.recommend.where.condition import where, why_none
from recli.storage import atomic, parts, runs
from recli.storage.runs import StoredModel

_PEEKED = 1 << 16  # bytes of a file of requests that are looked at for a profile


def open_model(path: Path, config: RecommendConfig, reporter: Reporter) -> StoredModel:
    """The model of the run that was named or is the best, or the model whose folder `path` is."""
    if (path / atomic.MANIFEST).exists():
        if config.model is not None or config.save:
            raise UsageError(f"{path} is a model, not a run: --model and --save need a run")
        return runs.read_model(path)
    source = parts.open_part(path / schema.INTERACTIONS, schema.INTERACTIONS)
    names = parts.part_names(path, schema.MODELS)
    if not names:
        raise RecliError(f"there is no model in {path}", f"train one: recli train-cf {quoted(path)}")
    if config.model is not None and config.model not in names:
        train = f"or train another: recli train-cf {quoted(path)}"
        raise unknown_name(f"{path}: there is no model", config.model, names, train)
    name = config.model or best_model(path, names, source.sha256, asks_for_texts(config), reporter)
    stored = runs.read_model(path / schema.MODELS / name)
    parts.check_same_input(stored.part, schema.INTERACTIONS, source.sha256, train_command(path, stored.part))
    return stored


def asks_for_texts(config: RecommendConfig) -> bool:
    """Whether lists are asked for of users of whom a text is known."""
    return config.profiles is not None or any(map(_names_a_profile, config.users))


def _names_a_profile(text: str) -> bool:
    """Whether requests hold a profile, as far as can be seen without taking anything from stdin or a pipe."""
    start = text.encode(errors="replace")
    if text == "-":
        peek = getattr(sys.stdin.buffer, "peek", None)
        start = peek() if peek is not None else b""
    elif _is_file(text) and Path(text).is_file():
        with Path(text).open("rb") as file:
            start = file.read(_PEEKED)
    return b'"profile"' in start


def _lines(texts: Sequence[str], known: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Ids as typed, as (origin, text): an id that is known, a file, - for stdin, or ids with commas."""
    for text in texts:
        if text == "-":
            yield from lines_of(sys.stdin.buffer, "stdin")
        elif text not in known and _is_file(text):
            with Path(text).open("rb") as file:
                yield from lines_of(file, text)
        elif text in known or text.lstrip().startswith("{"):
            yield COMMAND_LINE, text
        else:
            yield from ((COMMAND_LINE, part.strip()) for part in text.split(","))


def _is_file(text: str) -> bool:
    try:
        return Path(text).exists() and not Path(text).is_dir()  # a pipe, as of <(command), is one
    except (OSError, ValueError):  # too long for a name, or with a NUL: it is a list of ids
        return False


def row_numbers(ids: pl.Series) -> dict[str, int]:
    return {id: row for row, id in enumerate(ids.to_list())}


def read_users(stored: StoredModel, config: RecommendConfig, reporter: Reporter) -> UserQueries:
    if not (config.users or config.histories or config.profiles):
        return all_users(stored.interactions.users[schema.USER_ID].to_list())
    users = row_numbers(stored.interactions.users[schema.USER_ID])
    items = row_numbers(stored.interactions.items[schema.ITEM_ID])
    needs = "history" if config.histories else "profile" if config.profiles else None
    file = config.histories or config.profiles
    if file is not None and file != "-" and not _is_file(file):
        raise RecliError(f"there is no file {file}", "it has JSON lines, one for each user")
    if config.histories and Path(config.histories).suffix.lower() in history_tables.SUFFIXES:
        lines = history_tables.request_lines(config.histories, reporter)
    else:
        lines = _lines(config.users if file is None else (file,), users)
    queries = parse(
        lines,
        users,
        items,
        skip_unknown=config.skip_unknown,
        needs=needs,
        weights=stored.interactions.weights,
    )
    if queries.skipped:
        reporter.warn(f"{counted(len(queries.skipped), 'unknown user')} left out: {_some(queries.skipped)}")
    if queries.unused_profiles:
        reporter.warn(f"{queries.unused_profiles:,} profiles were not used: a history says more")
    if queries.repeated:
        reporter.warn(f"{queries.repeated:,} users were named more than once: they get one list")
    if queries.unknown_items:
        items_are = counted(len(queries.unknown_items), "unknown item")
        reporter.warn(f"{items_are} in histories left out: {_some(queries.unknown_items)}")
    if queries.unknown_limits:
        items_are = counted(len(queries.unknown_limits), "unknown item")
        reporter.warn(f"{items_are} in allow or exclude left out: {_some(queries.unknown_limits)}")
    if not queries.user_ids:
        raise RecliError("no user is left to recommend to", "name at least one with --users")
    return queries


def item_titles(catalogue: pl.DataFrame | None, named: str | None = None) -> pl.Series | None:
    """Titles of the items, from the catalogue's column `named` or the one that looks like it; None: no such column.

    Raises `UsageError` for a named column that is not there, or holds lists.
    """
    columns = [] if catalogue is None else catalogue.columns
    if named is not None and named not in columns:
        has = f"columns: {', '.join(columns)}" if columns else "the run has no catalogue"
        raise UsageError(f"--title-column: there is no column {named!r}; {has}", did_you_mean(named, columns))
    column = named or frames.title_column(columns)
    if catalogue is None or column is None:
        return None
    if catalogue[column].dtype.is_nested():
        if named is None:
            return None
        raise UsageError(f"--title-column: {named} is of type {catalogue[column].dtype}, which is no name")
    return catalogue[column].cast(pl.String, strict=False)


def item_columns(catalogue: pl.DataFrame | None, named: Sequence[str]) -> list[pl.Series]:
    """The columns of the catalogue that are printed beside each item. Raises `UsageError`."""
    names = [name.strip() for text in named for name in text.split(",") if name.strip()]
    there = [] if catalogue is None else catalogue.columns
    for name in names:
        if name not in there:
            has = f"columns: {', '.join(there)}" if there else "the run has no catalogue"
            raise UsageError(f"--columns: there is no column {name!r}; {has}", did_you_mean(name, there))
        if name in frames.OWN:
            raise UsageError(f"--columns: the lists have a column {name!r} of their own", "leave it out")
    found = [] if catalogue is None else [catalogue[name] for name in dict.fromkeys(names)]
    nested = next((column for column in found if column.dtype.is_nested()), None)
    if nested is not None:
        raise UsageError(
            f"--columns: {nested.name} is of type {nested.dtype}, no single value", "leave it out"
        )
    return found


def _some(ids: Sequence[str], most: int = 5) -> str:
    return ", ".join(ids[:most]) + (", ..." if len(ids) > most else "")


def say_mask(config: RecommendConfig, reporter: Reporter) -> None:
    lines = {
        "seen": "masked: what each user did before the test split (as evaluation needs it; --mask all: everything)",
        "all": "masked: everything each user did, test events too",
        "none": "masked: nothing; items that a user knows may come back",
    }
    reporter.say(lines[config.mask])


def allowed_items(stored: StoredModel, config: RecommendConfig, reporter: Reporter) -> Bool | None:
    """Which items may be recommended, bool (n_items,); None: all."""
    items = stored.interactions.items
    if not (config.allow or config.deny or config.where):
        return None
    index = row_numbers(items[schema.ITEM_ID])
    allowed = candidates.mask_of(range(items.height), items.height)
    for name, ids, keep in (("--allow", config.allow, True), ("--deny", config.deny, False)):
        if not ids:
            continue
        texts = [text for _, text in _lines(ids, index) if text]
        rows, unknown = candidates.rows_of(texts, index)
        if unknown:
            ids_are = "id is" if len(unknown) == 1 else "ids are"
            reporter.warn(f"{name}: {len(unknown):,} {ids_are} not in the catalogue: {_some(unknown)}")
        named = candidates.mask_of(rows, items.height)
        allowed &= named if keep else ~named
    if config.where:
        columns = items.drop(schema.COLD).with_columns(cold=items[schema.COLD])
        catalogue = stored.catalogue
        if catalogue is not None:
            columns = catalogue.with_columns(
                columns[c] for c in columns.columns if c not in catalogue.columns
            )
        allowed &= where(columns, config.where, reporter.warn)
    if not allowed.any():
        given = [f"--{name}" for name in ("allow", "deny", "where") if getattr(config, name)]
        raise RecliError(
            f"no item is left to recommend: none passes {' and '.join(given)}"
            + (" together" if len(given) > 1 or len(config.where) > 1 else ""),
            (why_none(columns, config.where) if config.where else None) or "loosen them; try one at a time",
        )
    reporter.say(f"candidates: {int(allowed.sum()):,} of {items.height:,} items")
    return allowed


def similar_to_rows(stored: StoredModel, config: RecommendConfig) -> Int64:
    if not algorithms[stored.algorithm].personal:
        raise UsageError(
            f"--similar-to: {stored.name} ({stored.algorithm}) gives all users the same, and has no item similarities",
            "choose another one with --model",
        )
    index = row_numbers(stored.interactions.items[schema.ITEM_ID])
    rows, unknown = candidates.rows_of([text for _, text in _lines(config.similar_to, index) if text], index)
    if unknown:
        raise UsageError(
            f"--similar-to: there is no item {unknown[0]!r}",
            did_you_mean(unknown[0], list(index)) or "ids are those of the catalogue, letter for letter",
        )
    return np.asarray(rows, dtype=np.int64)


def encode_profiles(
    stored: StoredModel,
    queries: UserQueries,
    encoder: str | None = None,
    device: str = "auto",
    reporter: Reporter = SILENT,
) -> dict[int, Float32]:
    """The profiles' texts as vectors, (d,), by position in the queries, encoded as the items' texts were.

    `encoder`: folder of the text encoder, where the embeddings were made from a folder.
    """
    if not queries.profiles:
        return {}
    from recli.encoders.reencode import encode_like

    model = text_model(stored.model)
    positions = sorted(queries.profiles)
    with reporter.progress("encoding profiles", total=len(positions)) as advance:
        vectors = encode_like(
            stored.encoder,
            model.text_space,
            [queries.profiles[position] for position in positions],
            stored.interactions.items[schema.TEXT].to_list(),
            model=encoder,
            device=device,
        )
        advance(len(positions), "")
    encoded = {position: vectors[row] for row, position in enumerate(positions) if vectors[row].any()}
    if len(encoded) < len(positions):
        reporter.warn(
            f"{len(positions) - len(encoded):,} profiles have no word that the encoder knows: they count as empty"
        )
    return encoded
