"""What `--json` prints is what the published JSON Schemas say."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from recli.cli.json_schemas import read_schema, schema_names

Recli = Callable[..., tuple[int, str, str]]
SAMPLE = Path(__file__).parents[2] / "sample_data"


def validated(name: str, text: str) -> Any:
    """The JSON that was printed, after checking it."""
    value = json.loads(text)
    Draft202012Validator(read_schema(name)).validate(value)
    return value


def test_schemas_are_schemas_and_are_printed_by_help(recli: Recli) -> None:
    for name in schema_names():
        schema = read_schema(name)
        Draft202012Validator.check_schema(schema)
        assert schema["$id"] == f"recli/{name}/1"
        assert json.loads(recli("help", "--schema", name)[1]) == schema
    _, _, err = recli("help", "--schema", "preprae", code=2)
    assert "did you mean prepare?" in err
    assert "`recli help --schema NAME`" in recli("help", "json")[1]


@pytest.mark.slow
def test_outputs_of_all_steps_have_their_schemas(recli: Recli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    log = (SAMPLE / "events.csv", "--items", SAMPLE / "items.csv", "--k-core", 2)
    validated("prepare", recli("prepare", *log, "--out", run, "--json")[1])
    validated("prepare", recli("prepare", log[0], "--out", tmp_path / "other", "--json")[1])
    validated("embed", recli("embed", run, "--model", "tfidf", "--dim", 16, "--json")[1])
    for more in ((), ("--tune", 2), ("--history-half-life", 5), ("--refit",)):
        validated("train-cf", recli("train-cf", run, "--algorithm", "item-knn", *more, "--json")[1])
    hybrid = ("train-hybrid", run, "--sources", "item-knn,popularity", "--json")
    assert validated("train-hybrid", recli(*hybrid)[1])["sources"]
    validated("train-hybrid", recli("train-hybrid", run, "--algorithm", "content-knn", "--json")[1])
    gates = ("--fail-under", "ndcg@10=0.0001", "--samples", 5, "--metrics", "ndcg@10,auc,coverage@5")
    assert validated("evaluate", recli("evaluate", run, *gates, "--json")[1])
    validated("recommend", recli("recommend", run, "--save", "--json")[1])
    for more in (("--explain",), ("--similar-to", "B0001")):
        lines = recli("recommend", run, "-k", 2, *more, "--json")[1].splitlines()
        for line in lines[:20]:
            validated("recommend-line", line)
    validated("status", recli("status", run, "--json")[1])
    (run / "models" / "hybrid" / "model.safetensors").unlink()
    validated("status", recli("status", run, "--json")[1])


def test_errors_settings_and_plans_have_their_schemas(recli: Recli, board_run: Path, tmp_path: Path) -> None:
    for words in (
        ("train-cf", board_run, "--algorithm", "x"),
        ("evaluate", tmp_path / "no"),
        ("prepare",),
        ("x",),
    ):
        validated("error", recli(*words, "--json", code=None)[1])
    for command in ("embed", "train-cf", "evaluate", "recommend"):
        validated("settings", recli(command, board_run, "--show-config", "--json")[1])
        validated("plan", recli(command, board_run, "--dry-run", "--json")[1])


def test_a_schema_refuses_what_is_not_as_it_says() -> None:
    with pytest.raises(ValidationError):
        validated("error", '{"schema": "recli/error/1", "error": {"code": "2", "what": "x", "fix": null}}')
    with pytest.raises(ValidationError):
        validated("plan", '{"schema": "recli/plan/2"}')
