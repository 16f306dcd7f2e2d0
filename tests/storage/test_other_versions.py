"""Parts that another version of recli wrote: read where the meaning is the same, else refused in one line."""

import dataclasses
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tiny_models as tiny
from conftest import edit_manifest

from recli import __version__, schema
from recli.config import Config, from_dict, option
from recli.encoders.reencode import encode_like
from recli.errors import ConfigError, RecliError
from recli.models.base import Algorithm, algorithms
from recli.storage import atomic, metadata, parts, runs, safetensors_file

Call = Callable[..., tuple[int, str, str]]

FIXTURE = Path(__file__).parent / "fixtures" / "run-3bb8ec3.tar.gz"
MODELS = (
    *("als", "bias", "bpr", "bspm", "cease", "content-knn", "ease", "ease-sparse", "gf-cf", "hybrid"),
    *("hybrid-borda", "hybrid-rrf", "ials", "ials-float16", "ials-int8", "ials-recent", "item-knn", "lmf"),
    *("popularity", "popularity-recent", "recent-popularity", "rp3beta", "sequential-rules", "text-factors"),
    "user-knn",
)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other-versions")
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def run(unpacked: Path, tmp_path: Path) -> Path:
    """A copy of the stored run, to be changed: its files are links, so they must be replaced, not written to."""
    return shutil.copytree(unpacked / "run", tmp_path / "run", copy_function=os.link)


def change(part: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit a part's manifest."""
    edit_manifest(part, edit)


def change_arrays(part: Path, edit: Callable[[dict[str, Any]], object], version: str) -> None:
    """Edit a model's arrays, as another version would have written them."""
    file = part / "model.safetensors"
    state = {name: array.copy() for name, array in safetensors_file.read(file).items()}
    edit(state)
    file.unlink()
    safetensors_file.write(file, state)

    def note(manifest: dict[str, Any]) -> None:
        manifest["files"][file.name] = atomic.sha256_file(file)
        manifest["recli"] = version

    change(part, note)


def lists(path: Path) -> Iterator[tuple[list[str], list[float]]]:
    """Items and scores of each user in a file of recommendations."""
    for line in path.read_text().splitlines():
        items = json.loads(line)["items"]
        yield [item["item_id"] for item in items], [item["score"] for item in items]


def assert_same_lists(path: Path, expected: Path, rtol: float = 1e-3) -> None:
    """The same scores to rounding, and the same items but for the order of those whose scores are as good as equal."""
    pairs = list(zip(lists(path), lists(expected), strict=True))
    assert pairs
    for (items, scores), (items_then, scores_then) in pairs:
        np.testing.assert_allclose(scores, scores_then, rtol=rtol, atol=1e-5)
        for rank, item in enumerate(items_then):
            if item != items[rank]:
                assert np.isclose(scores_then, scores_then[rank], rtol=rtol, atol=1e-5).sum() > 1 or rank == 4


# --- the stored run of an earlier version


def test_the_fixture_has_a_model_of_every_algorithm(unpacked: Path) -> None:
    assert tuple(parts.part_names(unpacked / "run", schema.MODELS)) == MODELS
    there = {runs.read_model(unpacked / "run" / "models" / name).algorithm for name in MODELS}
    built_in = {a.name for a in algorithms if a.fit.__module__.startswith("recli.")}
    assert there == built_in


@pytest.mark.parametrize("name", MODELS)
def test_a_model_gives_the_lists_that_it_gave(unpacked: Path, tmp_path: Path, recli: Call, name: str) -> None:
    made = tmp_path / "lists.jsonl"
    options = ("--model", name, "-k", 5, "--mask", "all", "--format", "jsonl", "--out", made)
    recli("recommend", unpacked / "run", *options)
    assert_same_lists(made, unpacked / "lists" / f"{name}.jsonl")


def test_former_names_of_options_are_read(unpacked: Path) -> None:
    models = unpacked / "run" / "models"
    values = {
        ("ease-sparse", "neighbors"): 5,
        ("item-knn", "neighbors"): 7,
        ("user-knn", "neighbors"): 6,
        ("rp3beta", "neighbors"): 9,
        ("sequential-rules", "neighbors"): 8,
        ("content-knn", "neighbors"): 5,
        ("popularity-recent", "popularity_half_life"): 30,
    }
    for (name, field), value in values.items():
        assert getattr(runs.read_model(models / name).options, field) == value
    former = {"stddev": 0.05, "dimensions": 6}
    for name, old in (("ials", "stddev"), ("bspm", "dimensions"), ("gf-cf", "dimensions")):
        stored = runs.read_model(models / name)
        assert stored.meta.options[old] == former[old]
        assert former[old] in dataclasses.asdict(stored.options).values()


def test_a_profile_is_encoded_as_it_was(unpacked: Path, tmp_path: Path, recli: Call) -> None:
    made = tmp_path / "profile.jsonl"
    profiles = ("--profiles", unpacked / "profiles.jsonl", "-k", 5, "--format", "jsonl", "--out", made)
    recli("recommend", unpacked / "run", "--model", "hybrid", *profiles)
    # encoded in bfloat16 where the processor has it (8 bits of mantissa)
    assert_same_lists(made, unpacked / "lists" / "profile.jsonl", rtol=0.05)


def test_a_hybrid_takes_stored_models_and_embeddings_as_sources(run: Path, recli: Call) -> None:
    sources = "ials,user-knn,content-knn"
    _, _, err = recli(
        *("train-hybrid", run, "--name", "again", "--sources", sources, "--embeddings", "tfidf-int8")
    )
    assert "ials: the run's model" in err and "user-knn: the run's model" in err
    made = runs.read_model(run / "models" / "again")
    assert {"models/ials", "models/user-knn", "embeddings/tfidf-int8"} <= set(made.part.inputs)


def test_stored_models_are_evaluated(run: Path, recli: Call) -> None:
    _, out, _ = recli(
        *("evaluate", run, "--models", "hybrid,ials,popularity-recent", "--metrics", "ndcg@5"),
        *("--samples", "20", "--json"),
    )
    assert set(json.loads(out)["models"]) == {"hybrid", "ials", "popularity-recent"}


# --- options that differ


@dataclasses.dataclass(frozen=True)
class NowConfig(Config):
    size: int = option(3, "Size.", min=1, formerly=("length",))
    rate: float = option(0.5, "Rate.")
    kind: str | None = option(None, "Kind.", choices=("a", "b"))
    names: tuple[str, ...] = option((), "Names.")
    weights: dict[str, float] = dataclasses.field(default_factory=dict)


def test_options_of_other_versions_are_read_where_the_meaning_is_the_same() -> None:
    assert from_dict(NowConfig, {}) == NowConfig()
    assert from_dict(NowConfig, {"length": 4, "rate": 1, "names": ["x"], "weights": {"x": 1}}) == NowConfig(
        4, 1, None, ("x",), {"x": 1}
    )
    for off in (None, False, 0, 0.0, "", [], {}):
        assert from_dict(NowConfig, {"newer_option": off}) == NowConfig()


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"newer_option": 2}, "the option --newer-option=2, which this version .* does not know"),
        ({"newer_option": ["x"]}, "does not know"),
        ({"size": "many"}, "--size=many, which this version .* reads as int"),
        ({"size": True}, "reads as int"),
        ({"size": 1.5}, "reads as int"),
        ({"length": None}, "--length=None, which this version .* reads as int"),
        ({"rate": "0.5"}, "reads as float"),
        ({"kind": 3}, "--kind=3, which this version"),
        ({"names": "x"}, "reads as tuple"),
        ({"names": [1]}, "reads as tuple"),
        ({"weights": [1]}, "reads as dict"),
        ({"weights": {"x": "much"}}, "reads as dict"),
        ({"size": 0}, "refuses: --size must be at least 1"),
        ({"kind": "c"}, "refuses: --kind must be one of a, b"),
        ({"rate": float("nan")}, "refuses: --rate must be a finite number"),
    ],
)
def test_other_options_are_refused(stored: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(NowConfig, stored)


def test_a_newer_model_with_an_option_that_is_off_gives_the_same_lists(run: Path) -> None:
    before = runs.read_model(run / "models" / "ials")
    newer = {"warm_start": None, "dropout": 0.0}
    change(run / "models" / "ials", lambda m: m["config"]["options"].update(newer) or m.update(recli="9.1.0"))
    now = runs.read_model(run / "models" / "ials")
    assert now.options == before.options
    history = before.interactions.history()
    np.testing.assert_array_equal(now.model.score(history), before.model.score(history))


def test_a_missing_option_has_its_default(run: Path) -> None:
    change(run / "models" / "item-knn", lambda m: m["config"]["options"].clear())
    change(run / "models" / "item-knn", lambda m: m["config"].pop("seed"))
    assert runs.read_model(run / "models" / "item-knn").options == algorithms["item-knn"].config()


@pytest.mark.parametrize(
    ("name", "place", "option"),
    [
        ("ials", ("options",), "--dropout=0.3"),
        ("ials", (), "--dropout=0.3"),
        ("hybrid", ("options", "sources", 0), "--dropout=0.3"),
        ("hybrid", ("options", "sources", 0, "options"), "--dropout=0.3"),
        ("text-factors", ("options", "base_options"), "--dropout=0.3"),
    ],
)
def test_an_option_that_is_not_known_is_one_line(
    run: Path, recli: Call, name: str, place: tuple[Any, ...], option: str
) -> None:
    def edit(manifest: dict[str, Any]) -> None:
        manifest["recli"], values = "9.1.0", manifest["config"]
        for key in place:
            values = values[key]
        values["dropout"] = 0.3

    change(run / "models" / name, edit)
    _, _, err = recli("recommend", run, "--model", name, code=1)
    line = f"{run}/models/{name} was made by recli 9.1.0 with the option {option}, which this version"
    assert f"{line} ({__version__}) does not know" in " ".join(err.split())
    assert "Traceback" not in err


def test_the_remedy_names_the_command(run: Path) -> None:
    for name, command in (("ials-int8", "train-cf {} --algorithm ials"), ("hybrid", "train-hybrid {}")):
        change(run / "models" / name, lambda m: m["config"]["options"].update(dropout=1))
        with pytest.raises(RecliError) as error:
            runs.read_model(run / "models" / name)
        assert error.value.fix == f"train it again: recli {command.format(run)} --name {name}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": "many"}, "--factors=many, which this version"),
        ({"factors": -3}, "--factors must be at least 1"),
        ({"iterations": None}, "--iterations=None"),
    ],
)
def test_a_value_that_is_not_taken_is_one_line(run: Path, options: dict[str, Any], message: str) -> None:
    change(run / "models" / "als", lambda m: m["config"]["options"].update(options))
    with pytest.raises(RecliError, match=f"was made by recli .* with .*{message}"):
        runs.read_model(run / "models" / "als")


def test_a_way_of_fusing_that_is_not_known_is_one_line(run: Path) -> None:
    change(run / "models" / "hybrid", lambda m: m["config"]["options"].update(fusion="stacking"))
    with pytest.raises(RecliError, match="must be one of linear, weighted, rrf, borda"):
        runs.read_model(run / "models" / "hybrid")


# --- manifests and arrays that are not what they should be


@pytest.mark.parametrize(
    "edit",
    [
        lambda m: m.update(config=[]),
        lambda m: m.update(config=None),
        lambda m: m.update(files=["model.safetensors"]),
        lambda m: m.update(files={"model.safetensors": None}),
        lambda m: m.update(summary=None),
        lambda m: m.pop("summary"),
        lambda m: m.update(inputs="interactions"),
        lambda m: m.update(inputs={"interactions": 1}),
        lambda m: m.update(format="2"),
        lambda m: m.update(kind=None),
        lambda m: m["config"].pop("algorithm"),
        lambda m: m["config"].pop("trained_on"),
        lambda m: m["config"].update(trained_on=[]),
        lambda m: m["config"].update(trained_on=["everything"]),
    ],
)
def test_a_manifest_of_another_shape_is_damaged(run: Path, recli: Call, edit: Callable[..., object]) -> None:
    change(run / "models" / "ials", edit)
    with pytest.raises(RecliError, match=r"is damaged: manifest\.json"):
        runs.read_model(run / "models" / "ials")
    for command in (("recommend", run, "--model", "ials"), ("evaluate", run, "--models", "ials")):
        _, _, err = recli(*command, code=1)
        assert "is damaged" in err and "Traceback" not in err


@pytest.mark.parametrize(
    "config",
    [{"algorithm": 3}, {"options": []}, {"seed": "x"}, {"trained_on": 1}, {"history_half_life": "x"}],
)
def test_values_of_another_type_in_a_models_config(run: Path, config: dict[str, Any]) -> None:
    change(run / "models" / "ials", lambda m: m["config"].update(config))
    with pytest.raises(RecliError, match=r"was made by recli 0\.1\.0 with the option --.*reads as"):
        runs.read_model(run / "models" / "ials")


@pytest.mark.parametrize("sources", [5, None, "bspm"])
def test_sources_of_another_type_are_no_algorithms(sources: object) -> None:
    assert metadata.ModelMeta("fusion", ("train",), {"sources": sources}).algorithms == ("fusion",)


def test_a_manifest_need_not_say_which_version_made_it(run: Path) -> None:
    change(run / "models" / "ials", lambda m: m.pop("recli"))
    assert runs.read_model(run / "models" / "ials").algorithm == "ials"
    change(run / "models" / "ials", lambda m: m["config"]["options"].update(dropout=1))
    with pytest.raises(
        RecliError, match="was made by recli of an unknown version with the option --dropout=1"
    ):
        runs.read_model(run / "models" / "ials")


@pytest.mark.parametrize("name", MODELS)
def test_arrays_that_are_missing_are_one_line(run: Path, name: str) -> None:
    optional = {"profile", "user_factors", "history_map", "space/center"}
    names = list(safetensors_file.read(run / "models" / name / "model.safetensors"))
    refused = 0
    for array in names:
        shutil.copytree(run / "models" / name, run / "models" / "less")
        change_arrays(run / "models" / "less", lambda state, array=array: state.pop(array), "9.1.0")
        try:
            runs.read_model(run / "models" / "less")
        except RecliError as error:
            assert "was made by recli 9.1.0 with other arrays than this version" in error.what
            assert "\n" not in error.what
            refused += 1
        else:
            assert array in optional or array.endswith(".scale")
        shutil.rmtree(run / "models" / "less")
    assert refused


@pytest.mark.parametrize(
    ("name", "array", "value"),
    [
        ("als", "item_factors", np.zeros((7, 4), dtype=np.float32)),
        ("als", "item_factors", np.zeros(24, dtype=np.float32)),
        ("ials", "item_factors", np.zeros((24, 9), dtype=np.float32)),
        ("ease", "weights", np.zeros((3, 3), dtype=np.float32)),
        ("popularity", "counts", np.zeros(5, dtype=np.float32)),
        ("item-knn", "similar.shape", np.array([3, 24], dtype=np.int64)),
        ("item-knn", "similar.indptr", np.zeros(4, dtype=np.int64)),
        ("gf-cf", "vectors", np.zeros((5, 6), dtype=np.float32)),
        ("hybrid", "cold", np.zeros(5, dtype=np.uint8)),
        ("hybrid", "source/ials/item_factors", np.zeros((5, 4), dtype=np.float32)),
        ("ials-int8", "item_factors.scale", np.zeros((2, 2), dtype=np.float32)),
    ],
)
def test_arrays_of_another_shape_are_one_line(run: Path, name: str, array: str, value: np.ndarray) -> None:
    change_arrays(run / "models" / name, lambda state: state.update({array: value}), "9.1.0")
    with pytest.raises(RecliError, match=r"was made by recli 9\.1\.0 with other arrays") as error:
        runs.read_model(run / "models" / name)
    assert "\n" not in error.value.what


def test_numbers_that_numpy_does_not_have_are_one_line(run: Path) -> None:
    file = run / "models" / "ials" / "model.safetensors"
    content = file.read_bytes().replace(b'"dtype":"F32"', b'"dtype":"F8_E4M3"')
    length = int.from_bytes(file.read_bytes()[:8], "little") + len(content) - file.stat().st_size
    file.unlink()
    file.write_bytes(length.to_bytes(8, "little") + content[8:])
    change(run / "models" / "ials", lambda m: m["files"].update({file.name: atomic.sha256_file(file)}))
    with pytest.raises(RecliError, match="cannot be read"):
        runs.read_model(run / "models" / "ials")


def test_interactions_without_a_column_are_one_line(run: Path, recli: Call) -> None:
    file = run / "interactions" / "train.parquet"
    frame = pl.read_parquet(file).rename({"value": "strength"})
    file.unlink()
    frame.write_parquet(file)
    change(run / "interactions", lambda m: m["files"].update({file.name: atomic.sha256_file(file)}))
    with pytest.raises(RecliError, match=r"train\.parquet has no column 'value'"):
        runs.read_interactions(run)


# --- embeddings


def test_an_embedding_of_a_newer_version(run: Path, recli: Call) -> None:
    change(run / "embeddings" / "tfidf", lambda m: m["config"].update(whitening=False))
    assert runs.read_embeddings(run, "tfidf")[0].shape == (24, 8)
    change(
        run / "embeddings" / "tfidf", lambda m: m["config"].update(whitening=True) or m.update(recli="9.1.0")
    )
    with pytest.raises(
        RecliError, match=r"9\.1\.0 with the option --whitening=True, .* does not know"
    ) as error:
        runs.read_embeddings(run, "tfidf")
    assert error.value.fix == f"make it again: recli embed {run} --name tfidf"


@pytest.mark.parametrize("config", [{"dim": "8"}, {"model": None}, {"batch_tokens": "x"}])
def test_an_embedding_with_values_of_another_type(run: Path, config: dict[str, Any]) -> None:
    change(run / "embeddings" / "tfidf", lambda m: m["config"].update(config))
    with pytest.raises(RecliError, match=r"was made by recli .* reads as"):
        runs.read_embeddings(run, "tfidf")


def test_profiles_of_a_hybrid_whose_embeddings_are_of_another_version(run: Path, recli: Call) -> None:
    profile = '{"user_id": "new", "profile": "space rocket"}'
    hybrid = run / "models" / "hybrid"
    shutil.copytree(hybrid, run / "models" / "other")
    change(hybrid, lambda m: m["summary"]["encoder"].update(config={"model": "tfidf", "dim": 8}))
    recli("recommend", run, "--model", "hybrid", "--users", profile)
    change(hybrid, lambda m: m["summary"]["encoder"]["config"].update(whitening=True))
    recli("recommend", run, "--model", "hybrid", "--users", "u01")
    _, _, err = recli("recommend", run, "--model", "hybrid", "--users", profile, code=1)
    assert "the option --whitening=True" in " ".join(err.split())
    change(run / "models" / "other", lambda m: m.update(recli="9.1.0"))
    change_arrays(run / "models" / "other", lambda state: state.pop("space/center"), "9.1.0")
    _, _, err = recli("recommend", run, "--model", "other", "--users", profile, code=1)
    assert "do not say how another text is encoded" in " ".join(err.split())
    for encoder in (None, [], {"config": 3, "summary": {}}, {"config": {}}):
        change(hybrid, lambda m, encoder=encoder: m["summary"].update(encoder=encoder))
        _, _, err = recli("recommend", run, "--model", "hybrid", "--users", profile, code=1)
        assert "does not say how texts are encoded" in " ".join(err.split())


def test_a_pretrained_encoder_is_found_again_without_the_options_that_are_younger(
    run: Path, tmp_path: Path, recli: Call
) -> None:
    model = tiny.bert(tmp_path / "tiny")
    recli("embed", run, "--model", model, "--dtype", "float32", "--name", "tiny")
    tensors = runs.read_embeddings(run, "tiny")[1].tensors("vectors")

    def encode() -> np.ndarray:
        meta = metadata.embedding_meta(parts.open_part(run / "embeddings" / "tiny", schema.EMBEDDINGS))
        return encode_like(meta, tensors, ["space rocket"], [], model=str(model))

    before = encode()
    for key in ("batch_tokens", "trust_remote_code", "revision", "pooling", "center"):
        change(run / "embeddings" / "tiny", lambda m, key=key: m["config"].pop(key))
    np.testing.assert_array_equal(encode(), before)
    change(run / "embeddings" / "tiny", lambda m: m["summary"].pop("weights_sha256"))
    with pytest.raises(RecliError, match="do not say how another text is encoded"):
        encode()


# --- algorithms that are not installed


@pytest.fixture
def foreign(run: Path) -> Path:
    """The run with two models that need an algorithm of a package that is not installed."""
    for name in ("als", "bspm"):
        change(run / "models" / name, lambda m: m["config"].update(algorithm="sasrec"))
    change(
        run / "models" / "hybrid", lambda m: m["config"]["options"]["sources"][0].update(algorithm="sasrec")
    )
    return run


@pytest.mark.parametrize("name", ["als", "hybrid"])
def test_a_model_of_an_algorithm_that_is_not_installed_is_one_line(
    foreign: Path, recli: Call, name: str
) -> None:
    with pytest.raises(RecliError, match=f"models/{name} needs the algorithm 'sasrec', which this") as error:
        runs.read_model(foreign / "models" / name)
    assert error.value.fix == "install the package that adds sasrec, or leave the model out"
    for command in (("evaluate", foreign, "--models"), ("recommend", foreign, "--model")):
        _, _, err = recli(*command, name, code=1)
        assert "'sasrec'" in err and "Traceback" not in err
    _, _, err = recli("train-hybrid", foreign, "--name", "new", "--sources", "als,item-knn", code=1)
    assert "'sasrec'" in err


def test_evaluate_leaves_such_models_out(foreign: Path, recli: Call) -> None:
    for name in set(MODELS) - {"als", "bspm", "hybrid", "ials", "popularity"}:
        shutil.rmtree(foreign / "models" / name)
    _, out, err = recli("evaluate", foreign, "--metrics", "ndcg@5", "--samples", "20", "--json")
    assert set(json.loads(out)["models"]) == {"ials", "popularity"}
    for name in ("als", "bspm", "hybrid"):
        assert f"the model {name} is left out: its algorithm 'sasrec' is not installed" in err


def test_recommend_chooses_another_one(foreign: Path, recli: Call) -> None:
    _, out, err = recli("recommend", foreign, "--users", "u01", "--format", "jsonl")
    assert json.loads(out.splitlines()[0])["source"] == "hybrid-borda"
    for name in ("als", "bspm", "hybrid"):
        assert f"the model {name} is left out" in err
    for name in set(MODELS) - {"als", "bspm"}:
        shutil.rmtree(foreign / "models" / name)
    _, _, err = recli("recommend", foreign, code=1)
    assert "has no model whose algorithm is installed" in " ".join(err.split())


def test_the_default_sources_leave_it_out(foreign: Path, recli: Call) -> None:
    for name in ("ials", "cease"):
        shutil.rmtree(foreign / "models" / name)
    _, _, err = recli("train-hybrid", foreign, "--name", "new", "--embeddings", "tfidf")
    said = " ".join(err.split())
    assert "the model bspm is left out: its algorithm 'sasrec' is not installed" in said
    assert "bspm: no such model in the run; it is trained with its defaults" in said
    assert "the model als is left out" not in said  # ials is the default of the two
    made = runs.read_model(foreign / "models" / "new")
    assert made.meta.algorithms[0] == "fusion" and "sasrec" not in made.meta.algorithms
    assert "models/user-knn" in made.part.inputs and "models/bspm" not in made.part.inputs


def test_an_algorithm_from_outside_is_read_while_it_is_there(
    foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ials = algorithms["ials"]
    outside = Algorithm("sasrec", "an algorithm from outside", ials.config, ials.fit, ials.load)
    monkeypatch.setitem(algorithms._things, "sasrec", outside)
    assert runs.read_model(foreign / "models" / "hybrid").algorithm == "fusion"


# --- kinds of parts


def test_a_kind_of_part_is_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = schema.PartKind("encoders", "make it with: recli embed {run} --finetune", several=True)
    monkeypatch.setitem(schema.PART_KINDS, kind.name, kind)
    with pytest.raises(RecliError, match="there is no encoders part") as error:
        parts.open_part(tmp_path / "run" / "encoders" / "mine", "encoders")
    assert error.value.fix == f"make it with: recli embed {tmp_path / 'run'} --finetune"
    with parts.write_part(tmp_path / "run" / "encoders" / "mine", "encoders", {}) as writer:
        writer.text("readme.txt", "weights")
    assert parts.part_names(tmp_path / "run", "encoders") == ["mine"]
