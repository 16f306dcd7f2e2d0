"""The README's and the topics' commands work as they stand, and the recorded run is what the code prints."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recli.cli.app import ALL
from recli.cli.help import topics
from recli.storage import runs

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOPICS = "\n".join(
    path.read_text(encoding="utf-8") for path in sorted((ROOT / "recli/cli/topics").glob("*.md"))
)
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?%?(?!\w)")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of sample_data, with `recli` as a command in `../bin`. The tests share its embeddings."""
    folder = tmp_path_factory.mktemp("readme") / "sample_data"
    shutil.copytree(ROOT / "sample_data", folder, ignore=shutil.ignore_patterns("*run", "__pycache__"))
    command = folder.parent / "bin" / "recli"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m recli "$@"\n')
    command.chmod(0o755)
    return folder


def execute(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ, "PATH": f"{folder.parent / 'bin'}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, env=environment, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    return done


def test_set_up_is_exactly_two_commands() -> None:
    lines = [line for line in README.splitlines() if line.startswith("pip install ")]
    assert lines == ["pip install '.[offline]' && make -C sample_data", "pip install -e '.[test]' && pytest"]


@pytest.mark.slow
def test_every_option_in_the_readme_and_the_topics_exists() -> None:
    help_texts = ""
    for command in ALL:
        done = subprocess.run(
            [sys.executable, "-m", "recli", command, "--help"],
            capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip
        help_texts += done.stdout
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README + TOPICS))
    assert {name for name in named if not re.search(rf"{name}(?![\w-])", help_texts)} == set()


def test_the_readme_is_short_and_its_tables_are_narrow() -> None:
    lines = README.splitlines()
    assert len(lines) <= 160
    narrow = [*"".join(blocks("text")).splitlines(), *(line for line in lines if line.startswith("|"))]
    assert [line for line in narrow if len(line) > 100] == []


def test_the_readme_names_all_topics() -> None:
    assert f"Topics: {', '.join(topics())}." in README


def test_links_in_the_documents_lead_to_files() -> None:
    for path in (
        "README.md",
        ".github/CONTRIBUTING.md",
        "tests/benchmarks/README.md",
        "sample_data/README.md",
    ):
        text = (ROOT / path).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", text):
            assert (ROOT / path).parent.joinpath(target).exists(), f"{path}: {target}"


def recorded() -> list[tuple[str, list[str]]]:
    """The commands of the README's `text` blocks, and the output below each."""
    commands: list[tuple[str, list[str]]] = []
    for line in "".join(blocks("text")).splitlines():
        if line.startswith("$ "):
            commands.append((line[2:], []))
        elif commands[-1][0].endswith("\\") and not commands[-1][1]:
            commands[-1] = (f"{commands[-1][0][:-1]} {line.strip()}", [])
        else:
            commands[-1][1].append(line)
    return commands


def close(expected: str, actual: str) -> bool:
    """Whether two numbers agree in what does not depend on the machine: a search over weights ends elsewhere."""
    if expected == actual:
        return True
    if "%" in expected and "%" in actual:
        return abs(float(expected.strip("%")) - float(actual.strip("%"))) <= 15
    if "." not in expected or "." not in actual:
        return False
    return abs(float(expected) - float(actual)) <= max(0.15 * abs(float(expected)), 0.005)


def matches(expected: str, actual: str) -> bool:
    """Whether a line is as recorded: words exactly, numbers by `close`; `...` stands for anything."""
    pattern, numbers, end = "", [], 0
    for number in NUMBER.finditer(expected):
        pattern += re.escape(expected[end : number.start()]) + f"({NUMBER.pattern})"
        numbers.append(number[0])
        end = number.end()
    pattern = (pattern + re.escape(expected[end:])).replace(re.escape("..."), ".*")
    line = re.fullmatch(pattern, actual)
    return line is not None and all(map(close, numbers, line.groups()))


def plain(lines: list[str]) -> list[str]:
    """The lines that are not empty, with spaces and rules of any width as one."""
    return [re.sub("─+", "─", " ".join(line.split())) for line in lines if line.strip()]


def first_difference(expected: list[str], actual: list[str]) -> str | None:
    """The recorded line that is not printed where it should be, or a printed one that is not recorded; None: equal."""
    rest, skips = plain(actual), False
    for line in plain(expected):
        if line == "...":
            skips = True
            continue
        while skips and rest and not matches(line, rest[0]):
            rest = rest[1:]
        if not rest or not matches(line, rest[0]):
            return line
        rest, skips = rest[1:], False
    return rest[0] if rest and not skips else None


def test_the_comparison_of_recorded_lines_sees_differences() -> None:
    table = ["  model  ndcg@10 ", " ──── ", "", "  ials  0.1252  [0.1079, 0.1417]", "  u0003  3"]
    assert first_difference(table, table) is None
    assert first_difference(["...", "ials 0.1252 ..."], table) == "u0003 3"
    assert first_difference(["...", "ials 0.1310 ...", "..."], table) is None
    assert first_difference(["model ndcg@10", "─", "ials 0.2000 ...", "..."], table) == "ials 0.2000 ..."
    assert first_difference(["model ndcg@20", "..."], table) == "model ndcg@20"
    assert first_difference([*table[:4], "u0003 4"], table) == "u0003 4"
    assert first_difference([*table, "more"], table) == "more"


@pytest.mark.slow
def test_the_recorded_run_is_what_the_code_prints(sample: Path) -> None:
    for command, expected in recorded():
        output = execute(sample, "bash", "-euo", "pipefail", "-c", command).stdout
        difference = first_difference(expected, output.splitlines())
        assert difference is None, f"{command}\nprints something else at: {difference}\n{output}"


@pytest.mark.slow
def test_the_shell_blocks_of_readme_and_topics_run_in_order(sample: Path) -> None:
    script = "\n".join(blocks("sh") + blocks("sh", TOPICS)).replace("/tmp/", f"{sample.parent}/")
    output = execute(sample, "bash", "-euo", "pipefail", "-c", script).stdout
    assert '"user_id":"new"' in output.replace(" ", "")
    assert (sample / "run" / "report.html").stat().st_size > 5000
    assert (sample / "result.json").stat().st_size > 500
    assert (sample / "checked" / "interactions" / "rejects.parquet").exists()
    ordered = runs.read_interactions(sample / "ordered")
    assert ordered.has_order and not ordered.has_times


@pytest.mark.slow
def test_the_python_blocks_run(sample: Path) -> None:
    assert blocks("python")
    for block in blocks("python"):
        output = execute(sample, sys.executable, "-c", block).stdout
        assert "ndcg" in output and "recall" in output and "u0003" in output


@pytest.mark.parametrize(
    ("heading", "module", "name", "check"),
    [
        ("An algorithm", "models.base", "algorithms", "algorithms['mean-weight'].config().power == 1"),
        ("A metric", "metrics.base", "metrics", "metrics['first-hit'].at"),
        ("An encoder", "encoders.base", "encoders", "encoders['letters'].takes('letters')"),
        ("A re-ranker", "ranking.rerankers.base", "rerankers", "'less-popular' in rerankers.names()"),
        ("A sink", "steps.recommend.sinks.base", "formats", "formats['pairs'].suffixes == ('.pairs',)"),
    ],
)
def test_the_examples_of_contributing_register_what_they_say(
    heading: str, module: str, name: str, check: str
) -> None:
    text = (ROOT / ".github/CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition(f"### {heading}:")[2].partition("###")[0]
    script = f"{blocks('python', section)[0]}\nfrom recli.{module} import {name}\nassert {check}\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
