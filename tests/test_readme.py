"""The README's commands work as they stand."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recli.storage import runs

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


def test_set_up_is_exactly_two_commands() -> None:
    lines = [line for line in README.splitlines() if line.startswith("pip install ")]
    assert lines == ["pip install '.[offline]' && make -C sample_data", "pip install -e '.[test]' && pytest"]


@pytest.mark.slow
def test_every_option_in_the_readme_exists() -> None:
    from recli.cli.app import COMMANDS

    help_texts = ""
    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "recli", command, "--help"],
            capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip
        help_texts += done.stdout
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README))
    assert {name for name in named if not re.search(rf"{name}(?![\w-])", help_texts)} <= {"--strict"}


@pytest.mark.slow
def test_the_shell_blocks_run_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "sample_data"
    shutil.copytree(ROOT / "sample_data", folder, ignore=shutil.ignore_patterns("*run", "__pycache__"))
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "recli").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m recli "$@"\n')
    (tools / "recli").chmod(0o755)
    script = "\n".join(blocks("sh")).replace("/tmp/", f"{tmp_path}/")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert '"user_id":"new"' in done.stdout.replace(" ", "")
    assert (folder / "run" / "report.html").stat().st_size > 5000
    assert (folder / "result.json").stat().st_size > 500
    assert (folder / "checked" / "interactions" / "rejects.parquet").exists()
    ordered = runs.read_interactions(folder / "ordered")
    assert ordered.has_order and not ordered.has_times
