"""`recli help`: how-tos that are part of the package."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable

import pytest

from recli.cli.help import read_topic, topics

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
