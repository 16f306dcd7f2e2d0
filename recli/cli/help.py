"""`recli help TOPIC`: how-tos, one Markdown file each in `recli/cli/topics`, which are part of the package."""

import sys
from dataclasses import dataclass
from importlib.resources import files

from recli.cli.console import Console
from recli.cli.json_schemas import read_schema
from recli.config import Config, argument, option
from recli.errors import EXIT_CODES, unknown_name

_TOPICS = files("recli.cli") / "topics"


@dataclass(frozen=True)
class HelpConfig(Config):
    topic: str | None = argument(None, "The topic, or a step; without it, all topics are listed.")
    schema: str | None = option(
        None, "Print the JSON Schema of an output instead: of a step, of an error, ...", metavar="NAME"
    )


def help(config: HelpConfig, console: Console) -> None:
    """Show a how-to, offline; without a topic, list the topics.

    A terminal gets it laid out for its width, a file or a pipe as Markdown.

    Example: recli help algorithms
    """
    titles = topics()
    if config.schema is not None:
        console.print_json(read_schema(config.schema))
    elif console.json:
        name = config.topic
        console.print_json(titles if name is None else {"topic": name, "text": read_topic(name)})
    elif config.topic is None:
        width = max(map(len, titles))
        console.print("Topics of `recli help TOPIC`:\n")
        for name, title in titles.items():
            console.print_wrapped(f"  {name:{width}}  {title}", indent=width + 4)
        console.print("\n`recli help STEP`, as `recli STEP --help`, lists the options of a step.")
    else:
        _show(read_topic(config.topic))


def topics() -> dict[str, str]:
    """Topics in alphabetical order, and the title of each: the first line of its file."""
    texts = {path.name.removesuffix(".md"): path.read_text("utf-8") for path in _TOPICS.iterdir()}
    return {name: text.partition("\n")[0].lstrip("# ") for name, text in sorted(texts.items())}


def read_topic(name: str) -> str:
    """The Markdown of a topic. Raises `UsageError` for an unknown one."""
    known = topics()
    if name not in known:
        raise unknown_name("there is no topic", name, tuple(known))
    text = (_TOPICS / f"{name}.md").read_text("utf-8")
    return text + _GENERATED[name]() if name in _GENERATED else text


def _algorithms() -> str:
    """The algorithms of `train-cf`, and those that only `train-hybrid` has, each with its line."""
    from recli.models.base import algorithms

    lines: dict[str, list[str]] = {"cf": [], "content": []}
    for algorithm in sorted(algorithms, key=lambda a: a.name):
        lines.get(algorithm.family, []).append(f"- `{algorithm.name}`: {algorithm.help}")
    return "\n".join(
        [
            "",
            "**All of `train-cf`.** `recli train-cf --algorithm NAME --help` has the options of one.",
            "",
            *lines["cf"],
            "",
            "**More sources of `train-hybrid`,** which learn from texts:",
            "",
            *lines["content"],
            "",
        ]
    )


def _exit_codes() -> str:
    lines = [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    return "\n".join(["", "| code | meaning |", "|---|---|", *lines, ""])


_GENERATED = {"algorithms": _algorithms, "exit-codes": _exit_codes}  # what follows a topic's text


def _show(text: str) -> None:
    if not sys.stdout.isatty():
        sys.stdout.write(text)
        return
    from rich.console import Console as RichConsole
    from rich.markdown import Markdown

    RichConsole().print(Markdown(text, code_theme="ansi_dark"))
