"""Options from files and the environment: one order of precedence, and no silent mistake."""

import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import recli as api
from recli.cli.app import COMMANDS
from recli.cli.settings import _path
from recli.config import Spec
from recli.storage.parts import open_part

Recli = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder, and no variables of recli."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name in os.environ:
        if name.startswith("RECLI_"):
            monkeypatch.delenv(name)


def write(path: str, text: str) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    return path


def shown(recli: Recli, *words: object) -> tuple[dict[str, Any], dict[str, str]]:
    """Values and origins by option."""
    printed = json.loads(recli(*words, "--show-config", "--json")[1])
    return printed["values"], printed["from"]


def test_the_command_line_counts_before_environment_file_pyproject_and_default(
    recli: Recli, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = ["default", "pyproject.toml", "job.toml", "RECLI_TRAIN_CF_SEED", "command line"]
    seeds = [shown(recli, "train-cf", "run")]
    write("pyproject.toml", "[tool.recli.train-cf]\nseed = 1\n")
    seeds.append(shown(recli, "train-cf", "run"))
    file = ("--config", write("job.toml", "[train-cf]\nseed = 2\n"))
    seeds.append(shown(recli, "train-cf", "run", *file))
    monkeypatch.setenv("RECLI_TRAIN_CF_SEED", "3")
    seeds.append(shown(recli, "train-cf", "run", *file))
    seeds.append(shown(recli, "train-cf", "run", *file, "--seed", 4))
    assert [values["seed"] for values, _ in seeds] == [0, 1, 2, 3, 4]
    assert [origins["seed"] for _, origins in seeds] == order


def test_every_kind_of_value_can_stand_in_a_file_and_in_the_environment(
    recli: Recli, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '[prepare]\nlog = ["a.csv", "b.csv"]\nmin-rating = 3\nin_order = true\nevent-half-life = "90d"\nk-core = 2\n'
    values, _ = shown(recli, "prepare", "--config", write("job.toml", text))
    assert values["log"] == ["a.csv", "b.csv"]
    assert (values["min_rating"], values["in_order"], values["k_core"]) == (3, True, 2)
    assert values["event_half_life"] == "90d"
    for name, value in (
        ("LOG", "'my log.csv' b.csv"),
        ("MIN_RATING", "2.5"),
        ("IN_ORDER", "yes"),
        ("K_CORE", "3"),
        ("SEPARATOR", ""),
    ):
        monkeypatch.setenv(f"RECLI_PREPARE_{name}", value)
    values, origins = shown(recli, "prepare")
    assert values["log"] == ["my log.csv", "b.csv"]
    assert (values["min_rating"], values["in_order"], values["k_core"]) == (2.5, True, 3)
    assert origins["log"] == "RECLI_PREPARE_LOG" and origins["separator"] == "default"
    monkeypatch.setenv("RECLI_EMBED_CENTER", "off")
    assert shown(recli, "embed", "run")[0]["center"] is False
    assert shown(recli, "embed", "run", "--center")[0]["center"] is True


def test_what_is_shown_can_be_read_again(recli: Recli) -> None:
    given = (
        "log \U0001f98a.csv",
        "--separator",
        "\\t",
        "--text",
        '{a "b"}\x7f',
        "--items",
        "i.csv",
        "--k-core",
        3,
    )
    _, out, _ = recli("prepare", *given, "--show-config")
    assert "k-core = 3  # command line" in out and "# time-format is not set  # default" in out
    values, origins = shown(recli, "prepare", "--config", write("again.toml", out))
    assert values == shown(recli, "prepare", *given)[0]
    assert origins["k_core"] == "again.toml"
    for command in COMMANDS:
        assert tomllib.loads(recli(command, "x", "--show-config")[1]).keys() == {command}


def test_settings_do_what_typed_options_do(recli: Recli, board_run: Path) -> None:
    text = f'[train-cf]\nrun = "{board_run}"\nalgorithm = "ease"\n'
    text += "[train-cf.ease]\nl2 = 7\n[train-cf.ials]\nfactors = 4\n"
    file = write("job.toml", text)
    recli("train-cf", "--config", file)
    assert open_part(board_run / "models/ease", "models").config["options"]["l2"] == 7
    recli("train-cf", "--config", file, "--algorithm", "ials", "--iterations", 1)
    assert open_part(board_run / "models/ials", "models").config["options"]["factors"] == 4
    recli("train-cf", "--config", file, "--l2", 9)
    assert open_part(board_run / "models/ease", "models").config["options"]["l2"] == 9


def test_a_command_without_a_word_takes_all_from_its_settings(
    recli: Recli, board_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recli("train-cf", code=2)
    monkeypatch.setenv(
        "RECLI_CONFIG", write("c.toml", f'[train-cf]\nrun = "{board_run}"\nalgorithm = "popularity"\n')
    )
    assert recli("train-cf")[1] == f"{board_run}\n"
    monkeypatch.setenv("RECLI_TRAIN_CF_JSON", "1")
    assert json.loads(recli("train-cf", "-q")[1])["model"] == "popularity"


def test_paths_are_relative_to_the_file(recli: Recli) -> None:
    write("conf/events.csv", "user_id,item_id\nu1,i1\nu2,i1\n")
    write("conf/ids.txt", "u1\n")
    text = (
        '[prepare]\nlog = "events.csv"\nout = "../out"\nrejects = "/tmp/x.csv"\n'
        '[evaluate]\nrun = "r"\nrecommendations = ["a=lists.csv", "-"]\nreport = "r.html"\n'
        '[recommend]\nrun = "-"\nusers = ["ids.txt", "u7"]\nout = "lists.csv"\n[embed]\nmodel = "tfidf"\nrun = "r"\n'
    )
    file = write("conf/job.toml", text)
    values, _ = shown(recli, "prepare", "--config", file)
    assert (values["log"], values["out"], values["rejects"]) == (["conf/events.csv"], "out", "/tmp/x.csv")
    values, _ = shown(recli, "evaluate", "--config", file)
    assert values["run"] == "conf/r" and values["report"] == "conf/r.html"
    assert values["recommendations"] == ["a=conf/lists.csv", "-"]
    values, _ = shown(recli, "recommend", "--config", file)
    assert (values["run"], values["users"], values["out"]) == ("-", ["conf/ids.txt", "u7"], "conf/lists.csv")
    assert shown(recli, "embed", "--config", file)[0]["model"] == "tfidf"
    recli("prepare", "--config", "conf/job.toml", "--max-rejects", "50%", "-q")
    assert Path("out/interactions/manifest.json").exists()


def test_files_with_a_key_are_relative_to_the_file_too() -> None:
    keyed = Spec("", paths="keyed")
    assert _path(keyed, "orders.csv:order_id", Path("conf")) == "conf/orders.csv:order_id"
    assert _path(keyed, "/data/orders.csv:order_id", Path("conf")) == "/data/orders.csv:order_id"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[train_cf]\nseed = 1", "there is no command 'train_cf' did you mean train-cf?"),
        ("[trian-cf]\nseed = 1", "did you mean train-cf?"),
        ("[train-cf]\nseeed = 1", "there is no option 'seeed' did you mean seed?"),
        ("[train-cf]\nxyzzy = 1", "there is no option 'xyzzy' options: run, algorithm"),
        ("[train-cf]\nseed = '1'", "seed must be a whole number, not '1'"),
        ("[train-cf]\nseed = 1.5", "seed must be a whole number, not 1.5"),
        ("[train-cf]\nseed = true", "seed must be a whole number, not True"),
        ("[train-cf]\nseed = -1", "seed must be at least 0, not -1"),
        ("[train-cf]\nrefit = 'yes'", "refit must be true or false, not 'yes'"),
        ("[train-cf]\nalgorithm = 'esae'", "not 'esae' did you mean ease?"),
        ("[train-cf]\nhistory-half-life = inf", "must be a finite number"),
        ("[train-cf]\nname = ['a']", "name must be a text, not ['a']"),
        ("[train-cf.esae]\nl2 = 1", "there is no algorithm 'esae' did you mean ease?"),
        (
            "[train-cf.ease]\nL2 = 1\n[train-cf]\nalgorithm = 'ease'",
            "there is no option 'L2' did you mean l2?",
        ),
        ("[train-cf]\nseed = [", "is not TOML"),
        ("seed = 1", "there is no command 'seed'"),
        ("train-cf = 1", "train-cf must be a section, [train-cf]"),
        ("[train-hybrid]\nhalf-life = 1\n[train-cf]\nrobots = 1", "there is no option 'robots'"),
    ],
)
def test_mistakes_in_a_file_are_usage_errors(recli: Recli, text: str, said: str) -> None:
    _, out, err = recli("train-cf", "run", "--config", write("job.toml", text), code=2)
    assert out == "" and said in " ".join(err.split()) and "job.toml" in err


def test_a_file_cannot_let_a_model_run_code(recli: Recli) -> None:
    write("pyproject.toml", "[tool.recli.embed]\nmodel = 'x/y'\ntrust-remote-code = true\n")
    _, _, err = recli("embed", "run", code=2)
    assert "trust-remote-code cannot be set in a file" in err
    assert recli("train-cf", "run", "--show-config")[0] == 0


def test_tables_that_are_no_algorithms(recli: Recli) -> None:
    for text in ("[embed.minilm]\ndim = 3\n", "[embed]\nmodel = {a = 1}\n"):
        _, _, err = recli("embed", "run", "--config", write("job.toml", text), code=2)
        assert "is a table, and no option is one" in err
    _, _, err = recli("embed", "run", "--config", write("job.toml", "[embed]\nprompt = 2020-01-01\n"), code=2)
    assert "prompt must be a text" in err
    assert "cannot be read" in recli("embed", "run", "--config", ".", code=1)[2]


def test_former_names_are_answered_with_the_new_ones(recli: Recli) -> None:
    _, _, err = recli("prepare", "x", "--config", write("job.toml", "[prepare]\nhalf-life = '9d'"), code=2)
    assert "it is event-half-life now" in err


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("RECLI_TRAIN_CF_SEDE", "1", "there is no option 'sede' did you mean seed?"),
        ("RECLI_TRAIN_CF_SEED", "one", "--seed must be a whole number, not 'one'"),
        ("RECLI_TRAIN_CF_REFIT", "maybe", "--refit must be true or false, not 'maybe'"),
        ("RECLI_TRAIN_CF_L2", "nan", "--l2 must be a finite number"),
        ("RECLI_TRAIN_CF_ALGORITHM", "esae", "did you mean ease?"),
    ],
)
def test_mistakes_in_the_environment_are_usage_errors(
    recli: Recli, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    _, _, err = recli("train-cf", "run", code=2)
    assert said in " ".join(err.split()) and name in err
    assert recli("train-cf", "--help")[0] == 0  # the help is shown all the same


def test_a_file_that_is_not_there(recli: Recli) -> None:
    write("jobs.toml", "")
    _, _, err = recli("train-cf", "run", "--config", "job.toml", code=1)
    assert "there is no file job.toml" in err and "did you mean jobs.toml?" in err


def test_variables_of_other_commands_and_other_tables_are_left_alone(
    recli: Recli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECLI_EMBED_NONSENSE", "1")
    monkeypatch.setenv("RECLI_KEY", "0123456789abcdef")
    write("pyproject.toml", "[tool.other.prepare]\nx = 1\n[project]\nname = 'tool.recli'\n")
    assert set(shown(recli, "train-cf", "run")[1].values()) == {"default", "command line"}
    Path("pyproject.toml").write_text("not [ TOML at all")
    assert shown(recli, "train-cf", "run")[0]["seed"] == 0


def test_the_python_api_reads_neither_files_nor_environment(
    board_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECLI_TRAIN_CF_ALGORITHM", "ease")
    monkeypatch.setenv("RECLI_TRAIN_CF_NONSENSE", "1")
    write("pyproject.toml", "[tool.recli.train-cf]\nname = 'other'\n")
    trained = api.train_cf(board_run, algorithm="popularity")
    assert (trained.name, trained.algorithm) == ("popularity", "popularity")
