"""`recli recommend`: lists for known users, new ones, and those of whom only a text is known."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING

from recli import schema
from recli.cli.console import Console, run_path
from recli.config import to_dict
from recli.reporting import no_progress
from recli.steps.recommend.config import RecommendConfig, check, output_format, to_stdout

if TYPE_CHECKING:
    from recli.steps.recommend.frames import ItemLabels
    from recli.steps.recommend.recommender import RecommendationBatch, RecommendOptions
    from recli.steps.recommend.sinks.files import Writer
    from recli.storage.runs import StoredModel

__all__ = ["RecommendConfig", "recommend"]


def recommend(config: RecommendConfig, console: Console) -> None:
    """Recommend items to known or new users, with reasons.

    Lists go to stdout (or --out, or --save), for all users of the run unless some are named. New users need
    no training: a history is enough, or with a hybrid a text about them.

    Example: recli recommend sample_data/run --users u0003,u0007 -k 5 --explain
    """
    check(config, console)
    if config.device.startswith("cuda"):  # asked for: it must be there, even where no profile needs it
        from recli.compute.torch_device import pick_device

        pick_device(config.device)
    from recli.steps.recommend import inputs as given
    from recli.steps.recommend.approximate import approximate
    from recli.steps.recommend.frames import names_of
    from recli.steps.recommend.recommender import RecommendOptions, recommend, similar_items

    path = run_path(config.run)
    stored = given.open_model(path, config, console)
    console.say(f"model: {stored.name} ({stored.algorithm})")
    titles = given.titles(stored, config)
    wanted = RecommendOptions(
        k=config.k,
        mask=config.mask,
        allowed=given.allowed_items(stored, config, console),
        fallback=config.fallback,
        diversify=config.diversify,
        pool=config.pool,
        reasons=config.reasons if config.explain else 0,
        approximate=approximate(path, stored, config, console),
    )
    if config.similar_to:
        items = given.similar_to(stored, config)
        ids = stored.interactions.items[schema.ITEM_ID]
        who = [ids[int(item)] for item in items]
        made = similar_items(stored, items, wanted)
    else:
        queries = given.read_audience(stored, config, console)
        given.say_mask(config, console)
        who = queries.user_ids
        made = recommend(stored, queries, wanted, given.profile_vectors(stored, queries, config, console))
    if config.save:
        _save(path, stored, made, names_of(stored, who, titles), wanted, config, console)
    else:
        with _output(config, output_format(config, console)) as output:
            _write(stored, made, names_of(stored, who, titles), wanted, config, console, output)


def _write(
    stored: "StoredModel",
    made: "Iterable[RecommendationBatch]",
    names: "ItemLabels",
    wanted: "RecommendOptions",
    config: RecommendConfig,
    console: Console,
    output: "Writer",
) -> dict[str, int]:
    """Write all lists, say what there is to say about them, and return the figures."""
    from recli.models.wrappers import POPULARITY
    from recli.steps.recommend.frames import frame_of

    first = "similar_to" if config.similar_to else schema.USER_ID
    whose = "items" if config.similar_to else "users"
    figures: Counter[str] = Counter()
    by: Counter[str] = Counter()
    # a progress bar on stderr and tables on stdout would meet on the terminal
    on_screen = to_stdout(config) and sys.stdout.isatty()
    bar = nullcontext(no_progress) if on_screen else console.progress("recommending", len(names.who), "lists")
    with bar as advance:
        for lists in made:
            output.add(frame_of(lists, names, first, bool(wanted.reasons)))
            by.update(lists.sources)
            figures["lists"] += len(lists.sources)
            figures["short"] += lists.short
            figures["empty"] += lists.empty
            advance(len(lists.sources) + lists.empty, "")
        output.finish()
    if stored.name != POPULARITY and by[POPULARITY]:
        lists_are = "1 list is" if by[POPULARITY] == 1 else f"{by[POPULARITY]:,} lists are"
        these = f"this {whose[:-1]}" if by[POPULARITY] == 1 else f"these {whose}"
        console.say(f"{lists_are} the most popular items: the model knows nothing of {these}")
    if figures["short"]:
        lists_are = "1 list is" if figures["short"] == 1 else f"{figures['short']:,} lists are"
        them = "it" if figures["short"] == 1 else "them"
        console.say(f"{lists_are} shorter than {wanted.k}: no more items were left for {them}")
    if figures["empty"]:
        why = (
            "nothing is known of them, or no item was left"
            if wanted.fallback == "none" or config.similar_to
            else "no item was left"
        )
        console.say(f"{figures['empty']:,} of {len(names.who):,} got no list: {why}")
    return {**figures, "popularity": by[POPULARITY]}


def _save(
    run: Path,
    stored: "StoredModel",
    made: "Iterable[RecommendationBatch]",
    names: "ItemLabels",
    wanted: "RecommendOptions",
    config: RecommendConfig,
    console: Console,
) -> None:
    """Write the part RUN/recommendations and print the run's path."""
    from recli.steps.recommend.sinks.files import Spool
    from recli.storage import atomic, parts

    inputs = {
        f"{schema.MODELS}/{stored.name}": stored.part.sha256,
        schema.INTERACTIONS: stored.interactions.sha256,
    }
    named = to_dict(replace(config, model=stored.name))
    with (
        atomic.scratch(run) as folder,
        parts.write_part(run / schema.RECOMMENDATIONS, schema.RECOMMENDATIONS, named, inputs) as draft,
    ):
        spool = Spool(folder)
        figures = _write(stored, made, names, wanted, config, console, spool)
        draft.table("recommendations", spool.scan())
        draft.summary.update(figures)
    console.result(run, {"part": schema.RECOMMENDATIONS, "model": stored.name, **figures})


@contextmanager
def _output(config: RecommendConfig, format: str) -> "Iterator[Writer]":
    """Where lists go: stdout, or a file that is put in place only when all of it was written."""
    from recli.steps.recommend.sinks.files import writer
    from recli.storage.atomic import write_file

    with ExitStack() as stack:
        if to_stdout(config):
            spool = Path(stack.enter_context(TemporaryDirectory(prefix="recli-")))
            target: IO[bytes] = sys.stdout.buffer
            sys.stdout.flush()
        else:
            path = stack.enter_context(write_file(Path(str(config.out))))
            spool = path.parent
            target = stack.enter_context(path.open("wb"))
        made = writer(format, target, spool)
        yield made
