"""The packed forward pass agrees with transformers' own, and steps aside where it does not apply."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
import torch
from transformers import (
    AutoModel,
    DistilBertConfig,
    DistilBertModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from recli.compute.threads import cpu_flags
from recli.encoders import fast_attention, fast_bert, source, transformer
from recli.encoders.fast_bert import pack
from recli.encoders.model_config import read_encoder_config

RNG = np.random.default_rng(0)
IDS = [RNG.integers(4, len(tiny.VOCABULARY), size).tolist() for size in (40, 39, 17, 16, 3, 1)]
needs_bfloat16 = pytest.mark.skipif(
    not cpu_flags() & {"amx_bf16", "avx512_bf16"}, reason="this CPU does not multiply bfloat16"
)


def alone(model: Any, ids: list[int]) -> torch.Tensor:
    """Vectors of one text's tokens by transformers, float32 (tokens, d)."""
    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)))[0][0].float()


def together(model: Any, ids: list[list[int]]) -> list[torch.Tensor]:
    ready = pack(model)
    assert ready is not None
    with torch.inference_mode():
        return list(ready(ids).float().split([len(i) for i in ids]))


def bert(tmp_path: Path, **options: Any) -> Any:
    return AutoModel.from_pretrained(tiny.bert(tmp_path / "m", **options)).eval()


def roberta(config: Callable[..., Any], model: Callable[..., Any]) -> Any:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    made = config(vocab_size=len(tiny.VOCABULARY), max_position_embeddings=64, initializer_range=0.3, **sizes)
    return model(made).eval()


@pytest.mark.slow
@pytest.mark.parametrize("act", ["gelu", "gelu_new"])
def test_bert_in_float32(tmp_path: Path, act: str) -> None:
    model = bert(tmp_path, hidden_act=act)
    for own, made in zip(IDS, together(model, IDS), strict=True):
        np.testing.assert_allclose(made.numpy(), alone(model, own).numpy(), atol=1e-5)


@pytest.mark.slow
def test_products_come_in_few_shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each oneDNN would keep code."""
    ready, shapes = pack(bert(tmp_path)), []
    assert ready is not None
    apply, multiply = fast_bert.Linear.__call__, torch.bmm

    def counted(self: fast_bert.Linear, x: torch.Tensor, *how: str) -> torch.Tensor:
        shapes.append(x.shape)
        return apply(self, x, *how)

    def multiplied(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        shapes.append((*a.shape, *b.shape))
        return multiply(a, b)

    monkeypatch.setattr(fast_bert.Linear, "__call__", counted)
    monkeypatch.setattr(torch, "bmm", multiplied)
    with torch.inference_mode():
        for n in range(1, 60):
            made = ready([[5] * length for length in sorted(RNG.integers(1, 17, n), reverse=True)])
            assert bool(torch.isfinite(made).all())
    assert len(shapes) == 59 * 2 * 4 and len(set(shapes)) <= 2 * (8 + 15)  # tokens up to 512, texts up to 64


@pytest.mark.parametrize(
    ("config", "model"), [(RobertaConfig, RobertaModel), (XLMRobertaConfig, XLMRobertaModel)]
)
def test_roberta_counts_positions_from_its_padding(config: Any, model: Any) -> None:
    """Padding's id (1) inside a text has no position of its own: the next token takes it."""
    made = roberta(config, model)
    ids = [*IDS, [5, 1, 6, 7]]
    for own, vectors in zip(ids, together(made, ids), strict=True):
        np.testing.assert_allclose(vectors.numpy(), alone(made, own).numpy(), atol=1e-5)


@needs_bfloat16
def test_bert_in_bfloat16(tmp_path: Path) -> None:
    """As near to float32 as transformers' own bfloat16, within a tenth."""
    exact = bert(tmp_path)
    model = AutoModel.from_pretrained(tmp_path / "m", dtype=torch.bfloat16).eval()

    def losses(vectors: list[torch.Tensor]) -> float:
        cosines = [
            torch.nn.functional.cosine_similarity(v.mean(0), alone(exact, own).mean(0), dim=0)
            for own, v in zip(IDS, vectors, strict=True)
        ]
        return 1 - float(torch.stack(cosines).mean())

    ours, theirs = losses(together(model, IDS)), losses([alone(model, own) for own in IDS])
    assert ours < 5e-4
    assert ours < 1.1 * theirs + 1e-4


def test_blocks_of_attention_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = bert(tmp_path)
    whole = together(model, IDS)
    monkeypatch.setattr(fast_bert, "_SQUARES", 1)  # each text by itself
    for one, other in zip(whole, together(model, IDS), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-6)


def test_softmax_by_arithmetic() -> None:
    """Scores 0 and 2 log 2 at scale 1/2: weights .5 and 1 before the division; nothing past the end."""
    scores = np.full((1, 1, 16, 16), 99, dtype=np.float32)
    scores[0, 0, 0, :2] = [0, 2 * np.log(2)]
    scores[0, 0, 1, :2] = [-400, 0]
    sums = np.zeros((1, 1, 16), dtype=np.float32)
    fast_attention.kernels(False).softmax(scores, np.array([0, 2]), np.float32(0.5), sums)
    np.testing.assert_allclose(scores[0, 0, 0, :2], [0.5, 1], rtol=1e-6)
    np.testing.assert_allclose(sums[0, 0, :2], [1.5, 1], rtol=1e-6)
    assert (scores[0, 0, :2, 2:] < 1e-37).all()
    assert scores[0, 0, 1, 0] < 1e-37


def test_bfloat16_cells_round_as_torch_does() -> None:
    values = np.concatenate([RNG.normal(size=1000), [1 + 2**-8, 1 + 3 * 2**-8, 0, -0.0]]).astype(np.float32)
    expected = torch.from_numpy(values).bfloat16().view(torch.uint16).numpy()
    cells = np.array([fast_attention.write(v, np.uint16(0)) for v in values])
    assert np.array_equal(cells, expected)
    back = np.array([fast_attention.read(c) for c in cells])
    assert np.array_equal(back, torch.from_numpy(expected).view(torch.bfloat16).float().numpy())


def test_powers_of_two() -> None:
    x = np.linspace(-126, 0, 5000, dtype=np.float32)
    made = np.array([fast_attention.power_of_two(v) for v in x])
    np.testing.assert_allclose(made, np.exp2(x.astype(np.float64)), rtol=3e-7)


def test_other_models_keep_their_own_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pack(bert(tmp_path / "relu", hidden_act="relu")) is None
    assert pack(bert(tmp_path / "decoder", is_decoder=True)) is None
    small = DistilBertConfig(vocab_size=50, dim=32, n_heads=2, n_layers=1, hidden_dim=64)
    assert pack(DistilBertModel(small).eval()) is None
    model = bert(tmp_path / "bert")
    assert pack(model) is not None
    monkeypatch.setattr(fast_bert, "_packed", lambda model: replace(PACKED(model), gelu="tanh", heads=4))
    assert pack(model) is None  # four heads of 8 are not two of 16: found by comparing


PACKED = fast_bert._packed


def test_a_missing_operation_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ops:
        """torch.ops.mkldnn of a torch without them."""

    model = bert(tmp_path)
    monkeypatch.setattr(torch.ops, "mkldnn", Ops())
    assert pack(model) is None


def test_bfloat16_on_a_cpu_without_it_is_left_to_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reorder(weight: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("bf16 path needs the cpu support")

    folder = tiny.bert(tmp_path / "m")
    config, found = read_encoder_config(folder, "m"), source.find(str(folder))
    texts = [" ".join("abcdefghij"[: 1 + i % 10]) for i in range(30)]

    def encoded(dtype: str) -> np.ndarray:
        encoder = transformer.load(found, config, dtype, torch.device("cpu"))
        assert str(encoder.model.dtype) == f"torch.{dtype}"
        vectors = np.empty((len(texts), 32), dtype=np.float32)
        for batch in transformer.encode(encoder, texts, batch_tokens=100, threads=1):
            vectors[batch.rows] = batch.vectors
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    exact = encoded("float32")
    monkeypatch.setattr("recli.compute.threads.cpu_flags", lambda: {"avx2"})
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", reorder)
    monkeypatch.setattr(transformer, "_MIN_PACKED_CHARACTERS", 0)  # packing is tried
    packed: list[Any] = []
    monkeypatch.setattr(transformer, "pack", lambda model: packed.append(pack(model)))
    np.testing.assert_array_less(0.99, (encoded("bfloat16") * exact).sum(axis=1))
    assert packed == [None]


def test_long_jobs_are_packed_and_short_ones_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.bert(tmp_path / "m")
    found = source.find(str(folder))
    encoder = transformer.load(found, read_encoder_config(folder, "m"), "float32", torch.device("cpu"))
    texts = ["\u200b", *(" ".join("abcdefghij"[: 1 + i % 10]) for i in range(60))]
    asked: list[int] = []

    def encoded() -> np.ndarray:
        made = np.empty((len(texts), 32), dtype=np.float32)
        for batch in transformer.encode(encoder, texts, batch_tokens=100, threads=2):
            made[batch.rows] = batch.vectors
        return made

    monkeypatch.setattr(transformer, "pack", lambda model: asked.append(1) or pack(model))
    unwrap = encoded()
    assert not asked
    monkeypatch.setattr(transformer, "_MIN_PACKED_CHARACTERS", sum(map(len, texts)))
    fast = encoded()
    assert asked == [1]
    assert not fast[0].any()  # a text without tokens
    np.testing.assert_allclose(fast, unwrap, atol=1e-5)
    assert fast.tobytes() == encoded().tobytes()


def test_the_next_texts_are_tokenized_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 5 texts, by one and then by two: when the first batch comes, the second span has been asked for."""
    folder = tiny.bert(tmp_path / "m")
    found = source.find(str(folder))
    encoder = transformer.load(found, read_encoder_config(folder, "m"), "float32", torch.device("cpu"))
    real, seen = transformer.tokenize, []
    monkeypatch.setattr(transformer, "_TEXTS_IN_FIRST_CHUNK", 1)
    monkeypatch.setattr(transformer, "_TEXTS_PER_CHUNK", 2)
    monkeypatch.setattr(transformer, "tokenize", lambda e, texts: seen.append(list(texts)) or real(e, texts))
    batches = transformer._batches(encoder, ["a", "b", "c", "d", "e"], 1)
    rows = [next(batches)[0].tolist()]
    batches_left = [b[0].tolist() for b in batches]
    assert seen == [["a"], ["b", "c"], ["d", "e"]]
    assert rows + batches_left == [[0], [1], [2], [3], [4]]
    assert list(transformer._batches(encoder, [], 1)) == []
