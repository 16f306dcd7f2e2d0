"""`recli help`: how-tos that are part of the package."""

import dataclasses
import importlib
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from recli.cli.app import COMMANDS
from recli.cli.help import read_topic, topics
from recli.config import choices_of, option_name, spec_of
from recli.errors import EXIT_CODES
from recli.models.base import algorithms

Recli = Callable[..., tuple[int, str, str]]


def test_help_lists_every_topic_with_its_title(recli: Recli) -> None:
    _, out, _ = recli("help")
    assert {"algorithms", "data", "evaluation", "fusion", "new-users"} <= set(topics())
    for name, title in topics().items():
        assert f"  {name} " in out and title in out
    assert json.loads(recli("help", "--json")[1]) == topics()


def test_the_titles_are_headings_and_topics_fit_a_terminal() -> None:
    for name, title in topics().items():
        text = read_topic(name)
        assert text.startswith(f"# {title}\n") and 10 < len(title) <= 80
        assert text.endswith("\n") and text.count("```") % 2 == 0
        outside = [line for part in text.split("```")[::2] for line in part.splitlines()]
        assert [line for line in outside if len(line) > 120] == []


def test_a_topic_is_markdown_in_a_pipe_and_laid_out_on_a_terminal(recli: Recli) -> None:
    assert recli("help", "fusion")[1] == read_topic("fusion")
    main, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm"}
    command = [sys.executable, "-m", "recli", "help", "fusion"]
    process = subprocess.Popen(command, stdout=terminal, env=environment)
    os.close(terminal)
    output = b""
    try:
        while chunk := os.read(main, 4096):
            output += chunk
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(main)
    assert process.wait() == 0
    text = output.decode()
    assert "\x1b[" in text and "**" not in text and "```" not in text
    assert "late fusion of several sources" in text


def test_unknown_topics_and_steps(recli: Recli) -> None:
    _, out, err = recli("help", "fusoin", code=2)
    assert out == "" and "did you mean fusion?" in err
    _, out, err = recli("help", "zzz", code=2)
    assert "did you mean" not in err and "algorithms" in err
    recli("help", "fusion", "data", code=2)
    assert recli("help", "embed")[1] == recli("embed", "--help")[1]


def test_help_names_itself_apart_from_the_steps(recli: Recli) -> None:
    _, out, _ = recli("--help")
    steps, _, rest = out.partition("Runs and how-tos")
    assert " recommend " in steps
    for name in (" help ", " status "):
        assert name in rest and name not in steps


@pytest.mark.parametrize("arguments", [(), ("gpu",)])
def test_help_is_light(arguments: tuple[str, ...]) -> None:
    script = (
        f"import sys\nfrom recli.__main__ import main\nsys.argv = ['recli', 'help', *{list(arguments)!r}]\n"
        f"try:\n    main()\nexcept SystemExit:\n    pass\nprint(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"torch", "polars.dataframe", "scipy", "numba", "numpy._core", "transformers"}
    assert heavy & set(done.stderr.split()) == set()


@pytest.mark.parametrize("command", [*COMMANDS, "status", "help"])
def test_no_word_of_a_help_page_is_cut_at_80_columns(
    recli: Recli, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    module = importlib.import_module(f"recli.cli.{command.replace('-', '_')}")
    config = getattr(module, "".join(word.title() for word in command.split("-")) + "Config")
    out = recli(command, "--help")[1]
    assert max(map(len, out.splitlines())) <= 80
    specs = [spec_of(field) for field in dataclasses.fields(config)]
    texts = [text for s in specs for text in (s.help, s.metavar, s.default_text, *(choices_of(s) or ()))]
    texts += [option_name(field) for field in dataclasses.fields(config) if not spec_of(field).argument]
    words = {word for text in texts if text for word in text.split()}
    assert [word for word in words if word.strip("`") not in out] == []


def test_the_help_of_one_algorithm_has_its_options_only(recli: Recli) -> None:
    for words in (("--algorithm", "ease"), ("--algorithm=ease",)):
        out = recli("train-cf", *words, "--help")[1]
        assert "--l2" in out and "--max-items" in out and "--tune" in out
        assert "--factors" not in out and "--learning-rate" not in out
        assert "ease 200" not in out and "200" in out
    both = recli("train-cf", "--help")[1]
    assert "--l2" in both and "--factors" in both
    assert "--factors" in recli("train-cf", "--algorithm", "esae", "--help")[1]


def test_the_topic_on_algorithms_lists_each_with_its_line(recli: Recli) -> None:
    out = recli("help", "algorithms")[1]
    for algorithm in algorithms:
        assert (f"- `{algorithm.name}`: {algorithm.help}\n" in out) == (algorithm.family != "hybrid")


def test_the_topic_on_exit_codes_is_the_table(recli: Recli) -> None:
    out = recli("help", "exit-codes")[1]
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", out, re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES
    assert "recli help exit-codes" in recli("help", "artifacts")[1]
