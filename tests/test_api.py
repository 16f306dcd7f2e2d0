"""The Python API: the six steps as functions, a loaded model, and the stub that types them.

`python tests/test_api.py` writes recli/__init__.pyi anew.
"""

import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import recli
from recli.config import spec_of
from recli.errors import ConfigError, RecliError

STUB = Path(recli.__file__).with_suffix(".pyi")
RESULTS = ("Prepared", "Embedded", "TrainedModel", "TrainedHybrid", "Evaluation", "Recommendations")
TYPES = {
    "str": "str | PathLike[str]",
    "str | None": "str | PathLike[str] | None",
    "tuple[str, ...]": "str | PathLike[str] | Sequence[str | PathLike[str]]",
}


def stub() -> str:
    """The text of recli/__init__.pyi: a signature for each step, from the fields of its config."""
    lines = [
        '"""Made by `python tests/test_api.py` from the configs of the steps."""',
        "",
        "from collections.abc import Sequence",
        "from os import PathLike",
        "",
        *sorted(f"from {m} import {name} as {name}" for name, m in recli.NAMES.items()),
        "",
        "__version__: str",
        "STEPS: tuple[str, ...]",
        "NAMES: dict[str, str]",
    ]
    for step in recli.STEPS:
        config = getattr(importlib.import_module(f"recli.steps.{step}.config"), _config_name(step))
        fields = sorted(dataclasses.fields(config), key=lambda field: not spec_of(field).argument)
        first, *others = [_parameter(field) for field in fields]
        lines += [
            *[""] * (step == recli.STEPS[0]),
            f"def {step}(",
            f"    {first},",
            "    *,",
            *(f"    {p}," for p in others),
        ]
        lines += ["    reporter: Reporter = ...,", f") -> {RESULTS[recli.STEPS.index(step)]}: ..."]
    return "\n".join(lines) + "\n"


def _config_name(step: str) -> str:
    return step.title().replace("_", "") + "Config"


def _parameter(field: "dataclasses.Field[object]") -> str:
    kind = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", str(field.type))
    kind = str(field.type) if "[" in str(field.type) or "|" in str(field.type) else kind
    default = "" if field.default is dataclasses.MISSING else " = ..."
    return f"{field.name}: {TYPES.get(kind, kind)}{default}"


def test_the_stub_has_the_options_of_the_configs() -> None:
    assert STUB.read_text(encoding="utf-8") == stub(), "make it again: python tests/test_api.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All steps in Python, on a small log with two tastes."""
    folder = tmp_path_factory.mktemp("api")
    events = ["user_id,item_id,timestamp"]
    for user in range(40):
        for step in range(8):
            item = 2 * ((user * 5 + step * 3) % 10) + user % 2
            events.append(f"u{user:02d},i{item:02d},{1_600_000_000 + user * 50 + step * 1000}")
    items = [
        "item_id,title",
        *(f"i{i:02d},{'space rocket' if i % 2 else 'kitchen recipe'} {i}" for i in range(20)),
    ]
    (folder / "events.csv").write_text("\n".join(events) + "\n")
    (folder / "items.csv").write_text("\n".join(items) + "\n")
    prepared = recli.prepare(
        folder / "events.csv", items=folder / "items.csv", text="{title}", out=folder / "run"
    )
    assert prepared.run == folder / "run" and prepared.summary["users"] == 40
    recli.embed(prepared, model="tfidf", dim=8)
    recli.train_cf(prepared, algorithm="item-knn", neighbors=5)
    recli.train_hybrid(
        prepared,
        sources="item-knn,content-knn,ials,text-factors",
        fusion="weighted",
        weights="item-knn=1,content-knn=0.5,ials=0.5,text-factors=0.2",
    )
    return folder / "run"


@pytest.mark.slow
def test_nothing_is_printed_without_a_reporter(tmp_path: Path, run: Path) -> None:
    script = (
        f"import recli\nrecli.train_cf({str(run)!r}, algorithm='popularity')\n"
        f"recli.embed({str(run)!r}, model='tfidf', dim=8, name='again')\n"
        f"recli.evaluate({str(run)!r}, metrics='ndcg@10', name='quiet')\nrecli.recommend({str(run)!r}, users='u00')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_reporter_gets_what_the_step_says(run: Path) -> None:
    class Lines:
        def __init__(self) -> None:
            self.lines: list[str] = []

        def say(self, text: str) -> None:
            self.lines.append(text)

        warn = say

        def progress(self, what: str, total: int | None, unit: str = "") -> "Progress":
            self.lines.append(what)
            return Progress()

    class Progress:
        def __enter__(self) -> "object":
            return lambda steps, text: None

        def __exit__(self, *_: object) -> None: ...

    reporter = Lines()
    recli.train_cf(run, algorithm="popularity", reporter=reporter)
    assert any("popularity" in line for line in reporter.lines)


def test_evaluate_gives_frames(run: Path) -> None:
    evaluation = recli.evaluate(run, metrics=["ndcg@10", "recall@10"], name="frames")
    assert isinstance(evaluation.metrics, pl.DataFrame)
    assert set(evaluation.metrics["metric"].unique()) == {"ndcg", "recall"}
    assert evaluation.per_user.height > 0


def test_recommend_gives_a_frame(run: Path) -> None:
    lists = recli.recommend(run, users=["u00", "u01"], k=3, explain=True)
    assert lists.frame["user_id"].unique(maintain_order=True).to_list() == ["u00", "u01"]
    assert lists.frame.height == 6 and "because" in lists.frame.columns


def test_a_loaded_model_answers_histories_users_and_profiles(run: Path) -> None:
    model = recli.load_model(run / "models" / "hybrid")
    odd = model.recommend(history=["i01", "i03", "i05"], k=4)
    assert odd.height == 4 and all(int(item[1:]) % 2 for item in odd["item_id"])
    assert not set(odd["item_id"]) & {"i01", "i03", "i05"}
    assert model.recommend(user="u00", k=3).height == 3
    even = model.recommend(profile="a recipe for the kitchen", k=3)
    assert {int(item[1:]) % 2 for item in even["item_id"]} == {0}
    assert list(model.recommend(history=["i01"], k=50)["item_id"]) != []
    same = recli.recommend(
        run, model="hybrid", users='{"user_id": "n", "history": ["i01", "i03", "i05"]}', k=4
    )
    assert same.frame["item_id"].to_list() == odd["item_id"].to_list()
    with pytest.raises(RecliError, match="i99"):
        model.recommend(history=["i99"])
    with pytest.raises(RecliError, match="nobody"):
        model.recommend(user="nobody")
    with pytest.raises(TypeError, match="one of"):
        model.recommend()
    with pytest.raises(TypeError, match=r"deny must be several items, as in \['i07'\]"):
        model.recommend(user="u00", deny="i07")
    assert "i07" not in model.recommend(user="u01", k=20, deny=["i07"])["item_id"]
    assert model.recommend(user="u01", allow=["i00", "i02"], mask="none")["item_id"].sort().to_list() == [
        "i00",
        "i02",
    ]
    assert model.similar_to("i01", k=2).height == 2
    for k in (0, "3", 2.5):
        with pytest.raises(ConfigError, match="k must be a whole number"):
            model.recommend(user="u00", k=k)  # type: ignore[arg-type]


def test_mistakes_with_a_loaded_model_are_explained(run: Path) -> None:
    model = recli.load_model(run / "models" / "hybrid")
    assert repr(model).startswith("LoadedModel(name='hybrid', algorithm='fusion', items=")
    with pytest.raises(TypeError, match=r"several items, as in \['i01'\]"):
        model.recommend("i01")
    with pytest.raises(RecliError, match="is a run, not a model"):
        recli.load_model(run)


def test_ids_may_be_numbers(run: Path) -> None:
    for users in (7, [7]):
        with pytest.raises(RecliError, match="there is no user '7'"):
            recli.recommend(run, users=users)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="log must be one or several texts or paths, not DataFrame"):
        recli.prepare(pl.DataFrame({"user_id": ["u"], "item_id": ["i"]}))  # type: ignore[arg-type]


def test_a_run_is_read(run: Path) -> None:
    opened = recli.read_run(run)
    assert {"hybrid", "item-knn"} <= set(opened.models) and "tfidf" in opened.embeddings
    assert opened.interactions.n_users == 40 and opened.vectors("tfidf").shape[0] == 20
    assert opened.catalogue is not None and opened.catalogue.height == 20


@pytest.mark.parametrize(
    ("algorithm", "option", "value"),
    [
        ("ials", "factors", -3),
        ("ials", "iterations", 0),
        ("item-knn", "neighbors", 0),
        ("ease", "l2", float("nan")),
        ("ials", "factors", "many"),
        ("ials", "factors", 2.5),
    ],
)
def test_values_out_of_bounds_are_config_errors(
    run: Path, algorithm: str, option: str, value: float | str
) -> None:
    from recli.models.base import algorithms

    with pytest.raises(ConfigError, match=f"--{option}"):
        algorithms[algorithm].config(**{option: value})
    with pytest.raises(ConfigError, match=rf"^{option} must be"):
        recli.train_cf(run, algorithm=algorithm, **{option: value})


def test_flags_are_true_or_false(run: Path) -> None:
    with pytest.raises(ConfigError, match="refit must be True or False, not 'yes'"):
        recli.train_cf(run, refit="yes")  # type: ignore[arg-type]


def test_unknown_keywords_name_the_one_that_is_meant(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"prepare\(\) has no keyword 'itms'; did you mean 'items'\?"):
        recli.prepare(tmp_path / "x.csv", itms="y")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'neighbours': it is 'neighbors'"):
        recli.train_cf(tmp_path, neighbours=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="needs 'run'"):
        recli.embed()  # type: ignore[call-arg]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = recli.nothing  # type: ignore[attr-defined]


def test_help_lists_the_keywords() -> None:
    text = recli.train_cf.__doc__ or ""
    assert "`config`" not in text
    assert "factors: " in text and "reporter: " in text
    assert {"prepare", "load_model"} <= set(dir(recli))


def test_import_is_light() -> None:
    script = "import sys, recli; print(*{'numpy', 'polars', 'torch', 'typer', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
