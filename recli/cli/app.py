"""The command line: the six steps, in the order in which they are used, and beside them `status` and `help`.

A command's module is imported only when that command runs, so that `recli --help` stays fast.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from recli.cli.console import Console
from recli.cli.failures import end_with_code
from recli.cli.options import make_command
from recli.schema import VERSION

ABOUT = "Pretrained language models in collaborative-filtering recommendation, from the shell."

COMMANDS = {
    "prepare": "Clean, index and split an event log and a catalogue of items: RUN/interactions.",
    "embed": "Turn the items' texts into vectors with a language model: RUN/embeddings/NAME.",
    "train-cf": "Train a collaborative-filtering model on the interactions: RUN/models/NAME.",
    "train-hybrid": "Train a hybrid model (late fusion of CF and text embeddings): RUN/models/NAME.",
    "evaluate": "Measure models, or external recommendations, on the test split: RUN/metrics.",
    "recommend": "Recommend items to known or new users, with reasons.",
}
BESIDE = {
    "status": "Show what a run has, what of it is out of date, and what to type next.",
    "help": "Show a how-to, offline; without a topic, list the topics.",
}
ALL = (*COMMANDS, *BESIDE)


def _command(name: str, arguments: Sequence[str] = ()) -> Any:
    module = name.replace("-", "_")
    command_module = importlib.import_module(f"recli.cli.{module}")
    config = getattr(command_module, "".join(word.title() for word in module.split("_")) + "Config")
    if name == "train-cf" and {"-h", "--help"} & set(arguments):
        config = command_module.config_for_help(arguments)
    return make_command(name, config, getattr(command_module, module), tuple(COMMANDS))


class _Steps(TyperGroup):
    """The commands; the options of one are loaded when it runs or is completed in a shell."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in ALL:
            self.commands[args[0]] = _command(args[0])
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **more: Any) -> Any:
        words = list(args[0])
        typer_main = super().main
        more |= {"standalone_mode": False, "prog_name": "recli"}
        end_with_code(lambda: typer_main(words, **more), Console(json="--json" in words), "recli", ALL)


app = typer.Typer(
    name="recli",
    cls=_Steps,
    help=ABOUT,
    epilog="Example: recli prepare log.csv --items items.csv --out run | recli embed - | recli train-cf - "
    "| recli train-hybrid - | recli evaluate -",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"recli {VERSION}")
        raise typer.Exit


@app.callback()
def _recli(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None: ...


def _placeholder() -> None:
    """Placeholder that `recli --help` lists for a command whose module is not loaded."""


for _name, _help in COMMANDS.items():
    app.command(_name, help=_help)(_placeholder)
for _name, _help in BESIDE.items():
    app.command(_name, help=_help, rich_help_panel="Runs and how-tos")(_placeholder)


def run(arguments: Sequence[str]) -> None:
    """Run `recli ARGUMENTS`; ends in SystemExit.

    A command is called without the group around it, which has no options for it and would load pydantic.
    """
    name, *rest = arguments or ("",)
    if name == "help" and len(rest) == 1 and rest[0] in (*COMMANDS, "status"):
        name, rest = rest[0], ["--help"]
    if name in ALL:
        _command(name, rest)(rest)
    app(list(arguments))
