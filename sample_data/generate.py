"""Make the sample: an invented bookshop's event log and catalogue. Fixed seed: the same bytes everywhere.

    python generate.py [--out DIR]

600 users, 400 books in 8 genres, 30,000 views, likes and purchases over a year. What is in it, by construction:
texts tell the genre and not the style; readers follow genres (which drift over the year) and styles, so behavior
knows something that texts do not, and the reverse for the 40 new books and the 30 new readers. Popularity is
skewed. `events_bad.csv` is the same log's bad day: rows as they come from broken exports.
"""

import argparse
import bisect
import csv
import io
import itertools
import math
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from words import ADJECTIVES, FIRST_NAMES, GENRES, LAST_NAMES, SENTENCES

SEED = 20240229
N_USERS, N_ITEMS, N_EVENTS = 600, 400, 30_000
N_STYLES = 5  # an item's style moves its readers and leaves no trace in its text
START = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())
YEAR = 365 * 86_400
NEW_ITEMS = 0.10


def pick(rng: Random, options: list[str]) -> str:
    return options[int(rng.random() * len(options))]


def describe(rng: Random, genre: str) -> str:
    """Two to four sentences about a book of this genre."""
    words = GENRES[genre]
    slots = {name: pick(rng, words[name]) for name in ("hero", "place", "trouble", "end")}
    for name in ("hero", "place", "trouble", "end"):
        slots[name + "2"] = pick(rng, [w for w in words[name] if w != slots[name]])
    slots |= {name.capitalize(): text[0].upper() + text[1:] for name, text in slots.items()}
    middle = rng.sample(SENTENCES["middle"], int(rng.random() * 3))
    chosen = [pick(rng, SENTENCES["open"]), *middle, pick(rng, SENTENCES["close"])]
    return " ".join(sentence.format(**slots) for sentence in chosen)


def make_items(rng: Random) -> list[dict[str, Any]]:
    """The catalogue; `style`, `appeal` and `launch` stay in here, they are what the log is made of."""
    genres = list(GENRES)
    titles: set[str] = set()
    items: list[dict[str, Any]] = []
    for number in range(N_ITEMS):
        genre = genres[number % len(genres)]
        nouns = GENRES[genre]["noun"]
        title = ""
        while not title or title in titles:
            adjective, noun, other = pick(rng, ADJECTIVES), pick(rng, nouns), pick(rng, nouns)
            title = pick(
                rng,
                [
                    f"The {adjective} {noun}",
                    f"{adjective} {noun}",
                    f"The {noun} and the {other}",
                    f"{noun} of {other}",
                ],
            )
            if noun == other and other in title.split(" ", 2)[-1]:
                title = f"The {adjective} {noun}"
        titles.add(title)
        new = number >= N_ITEMS * (1 - NEW_ITEMS)
        items.append(
            {
                "title": title,
                "author": f"{pick(rng, FIRST_NAMES)} {pick(rng, LAST_NAMES)}",
                "genre": genre,
                "description": describe(rng, genre),
                "year": 2024 if new else 1990 + int(rng.random() * 34),
                "price": round(6 + rng.random() * 24, 2),
                "style": int(rng.random() * N_STYLES),
                "appeal": 1.0 / (1 + int(rng.random() ** 1.6 * 60)) ** 0.65,
                "launch": START + int(YEAR * (0.90 + 0.09 * rng.random())) if new else START,
            }
        )
    order = sorted(range(N_ITEMS), key=lambda _: rng.random())
    for number, item in zip(order, items, strict=True):
        item["item_id"] = f"B{number:04d}"
    return sorted(items, key=lambda item: str(item["item_id"]))


def taste(rng: Random) -> list[float]:
    """Weights of the genres: most readers have two or three that matter."""
    weights = [0.02 + rng.gammavariate(0.25, 1.0) for _ in GENRES]
    return [w / sum(weights) for w in weights]


def make_events(rng: Random, items: list[dict[str, Any]]) -> list[tuple[int, str, str, str]]:
    """The log: (time, user, item, event), by time. Views come first; affinity turns some into likes and purchases."""
    genre_of = [list(GENRES).index(item["genre"]) for item in items]
    users = [f"u{number:04d}" for number in range(N_USERS)]
    new = [number % 20 == 7 for number in range(N_USERS)]  # one in twenty: 5%
    activity = [math.exp(rng.gauss(0, 0.8)) * (0.35 if is_new else 1) for is_new in new]
    joined = [
        START + int(YEAR * (0.92 + 0.06 * rng.random() if is_new else 0.5 * rng.random() ** 3))
        for is_new in new
    ]
    tastes = [(taste(rng), taste(rng), [rng.gammavariate(0.35, 1.0) for _ in range(N_STYLES)]) for _ in users]
    scale = (N_EVENTS / 1.55) / sum(activity)
    events: list[tuple[int, str, str, str]] = []
    for user, name in enumerate(users):
        early, late, styles = tastes[user]
        pull = [item["appeal"] * (0.04 + styles[item["style"]] / sum(styles)) for item in items]
        drift = 0.5 * rng.random()
        bought: set[int] = set()
        for _ in range(max(2, round(activity[user] * scale))):
            when = joined[user] + int(rng.random() * (START + YEAR - joined[user]))
            share = drift * (when - START) / YEAR
            fits = [((1 - share) * e + share * f) ** 1.3 for e, f in zip(early, late, strict=True)]
            weights = [
                pull[n] * fits[genre_of[n]] if item["launch"] <= when and n not in bought else 0.0
                for n, item in enumerate(items)
            ]
            total = list(itertools.accumulate(weights))
            chosen = bisect.bisect_left(total, rng.random() * total[-1])
            item_id, affinity = items[chosen]["item_id"], weights[chosen] / max(weights)
            events.append((when, name, item_id, "view"))
            if rng.random() < 0.30 + 0.30 * affinity:
                events.append((when + 60 + int(rng.random() * 3000), name, item_id, "like"))
            if rng.random() < 0.18 + 0.20 * affinity:
                events.append((when + 3600 + int(rng.random() * 86_400), name, item_id, "purchase"))
                bought.add(chosen)
    return sorted(rng.sample(events, N_EVENTS))


def bad_rows() -> bytes:
    """A log with what broken exports contain; 13 of its 20 rows are bad, for nine reasons."""
    rows = [
        b"user_id,item_id,event,timestamp",
        b"u0001,B0001,view,1719830000",
        b",B0002,view,1719830100",
        b"u0002,,like,1719830200",
        b"u0003,B0003,view,yesterday",
        b"u0004,B0004,view,NaN",
        b"u0005,B0005,view",
        b"u0006,B0006,view,1719830600,surplus",
        b"u00\xff7,B0007,view,1719830700",
        b"u00\x0008,B0008,view,1719830800",
        b"u0009,B0009,purchase,1719830900",
        b'u0010,"B0010,view,1719831000',
        b"u0011,B0011,view,",
        b"u0012,B0012,view,99999-13-45",
        b"   ,B0013,view,1719831300",
        b"u0014,B0014,like,2024-07-01T12:00:00Z extra",
        b"u0015,B0015,like,1719831500",
        b"u0016,B0016,view,1719831600",
        b"u0017,B0017,view,1719831700",
        b"u0018,B0018,view,1719831800",
        b"u0019,B0019,purchase,1719831900",
    ]
    return b"\n".join(rows) + b"\n"


def table(header: list[str], rows: list[list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header, *rows])
    return text.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    rng = Random(SEED)
    items = make_items(rng)
    columns = ["item_id", "title", "author", "genre", "year", "price", "description"]
    events = make_events(rng, items)
    (out / "items.csv").write_text(table(columns, [[item[c] for c in columns] for item in items]), "utf-8")
    rows: list[list[Any]] = [[user, item, event, when] for when, user, item, event in events]
    (out / "events.csv").write_text(table(["user_id", "item_id", "event", "timestamp"], rows), "utf-8")
    (out / "events_bad.csv").write_bytes(bad_rows())


if __name__ == "__main__":
    main()
