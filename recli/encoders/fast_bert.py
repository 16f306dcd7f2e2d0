"""BERT's forward pass on a CPU over tokens without padding, with linear layers that are laid out for it once.

Against transformers' own: oneDNN's weights are reordered once and not in every call, GELU, bias and residual are part
of the products, nothing is computed for padding, and attention needs no mask (`recli.encoders.fast_attention`). The
operations are those torch.compile uses and may change: their results are compared with transformers' own
before use, and where an operation is missing this module is not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from recli.encoders.fast_attention import Kernels, kernels
from recli.schema import Int64

if TYPE_CHECKING:
    import torch

_COUNTED = ("RobertaModel", "XLMRobertaModel")  # positions start after the padding's id, which has none
_KNOWN = ("BertModel", *_COUNTED)
_GELU = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}  # how oneDNN names them
_STEP = 16  # widths of attention are multiples of it
_SQUARES = 1 << 20  # cells of scores at a time: they stay in the core's cache
# oneDNN makes and keeps code for every shape that comes (up to 1,024 times, some 400 MB): few are to come.
_TOKENS, _TEXTS = 64, 8


@dataclass(frozen=True)
class Linear:
    """A layer in oneDNN's order: `weight` is opaque, `bias` (n_out,)."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __call__(self, x: torch.Tensor, after: str = "none", how: str = "") -> torch.Tensor:
        import torch

        output: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, after, [], how)
        return output

    def added_to(self, other: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        import torch

        output: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(
            x, other, self.weight, self.bias, "add"
        )
        return output


@dataclass(frozen=True)
class Layer:
    """A transformer block with its norms after the sums. `qkv`: queries, keys and values in one product."""

    qkv: Linear
    out: Linear
    attention_norm: Any
    up: Linear
    down: Linear
    norm: Any


@dataclass(frozen=True)
class Packed:
    """A model ready to run. `padding`: the id that has no position of its own; None: positions count all tokens."""

    embeddings: Any
    layers: tuple[Layer, ...]
    heads: int
    gelu: str
    padding: int | None
    kernels: Kernels

    def __call__(self, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """Vectors of all tokens of texts one after the other, (tokens, d). No text may be empty."""
        import torch

        starts: Int64 = np.cumsum([0, *map(len, ids)])
        tokens = np.concatenate([np.asarray(own, dtype=np.int64) for own in ids])
        positions = self._positions(tokens, starts)
        spare = -tokens.size % _TOKENS  # copies of the first token that no text has
        hidden = self._embed(
            *(torch.from_numpy(np.append(a, a[:1].repeat(spare))) for a in (tokens, positions))
        )
        for layer in self.layers:
            attended = self._attend(layer.qkv(hidden), starts)
            hidden = layer.attention_norm(layer.out.added_to(hidden, attended))
            hidden = layer.norm(layer.down.added_to(hidden, layer.up(hidden, "gelu", self.gelu)))
        return hidden[: tokens.size]

    def _positions(self, tokens: Int64, starts: Int64) -> Int64:
        counted = tokens != self.padding if self.padding is not None else np.ones(tokens.size, dtype=np.bool_)
        before = np.concatenate([[0], np.cumsum(counted)])
        position = before[1:] - np.repeat(before[starts[:-1]], np.diff(starts))  # 1, 2, ...
        output: Int64 = position - 1 if self.padding is None else position * counted + self.padding
        return output

    def _embed(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        parts = self.embeddings
        hidden = parts.word_embeddings(tokens) + parts.token_type_embeddings.weight[0]
        output: torch.Tensor = parts.LayerNorm(hidden + parts.position_embeddings(positions))
        return output

    def _attend(self, tokens: torch.Tensor, starts: Int64) -> torch.Tensor:
        """Attention within each text: (t, 3 heads d) to (t, heads d). Texts come longest first, or nearly so."""
        import torch

        t, d = tokens.shape[0], tokens.shape[1] // (3 * self.heads)
        output = tokens.new_zeros((t, self.heads * d))
        sizes = np.diff(starts)
        first = 0
        while first < sizes.size:
            width = _up(int(sizes[first]))
            most = max(1, _SQUARES // (self.heads * width * width))
            n = min(most - most % _TEXTS if most > _TEXTS else most, sizes.size - first)
            width = _up(int(sizes[first : first + n].max()))
            own = starts[first : first + n + 1]
            room = -(-n // _TEXTS) * _TEXTS if n > _TEXTS else n
            q, k, v = (tokens.new_empty((room, self.heads, width, d)) for _ in range(3))
            for all_rows in (q, k, v):
                all_rows[n:] = 0
            self.kernels.spread(_cells(tokens), own, *(_cells(a[:n]) for a in (q, k, v)))
            q, k, v = (a.view(room * self.heads, width, d) for a in (q, k, v))
            scores = torch.bmm(q, k.transpose(1, 2))
            sums = np.empty((n, self.heads, width), dtype=np.float32)
            squares = _cells(scores.view(room, self.heads, width, width)[:n])
            self.kernels.softmax(squares, own, np.float32(d**-0.5), sums)
            mixed = torch.bmm(scores, v).view(room, self.heads, width, d)
            self.kernels.gather(_cells(mixed[:n]), own, sums, _cells(output))
            first += n
        return output


def _up(size: int) -> int:
    return -(-size // _STEP) * _STEP


def _cells(tensor: torch.Tensor) -> Any:
    """The same memory for numpy, bfloat16 as uint16."""
    import torch

    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def pack(model: Any) -> Packed | None:
    """The model packed, or None where it is of another kind, torch lacks an operation, or the results differ."""
    import torch

    if not _is_known(model):
        return None
    try:
        with torch.inference_mode():
            packed = _packed(model)
            return packed if _agrees(model, packed) else None
    except (AttributeError, RuntimeError):  # an operation or a layer has another name, or the CPU lacks it
        return None


def _is_known(model: Any) -> bool:
    import torch

    config = model.config
    return (
        type(model).__name__ in _KNOWN
        and type(model).__module__.startswith("transformers.")
        and model.device.type == "cpu"
        and model.dtype in (torch.float32, torch.bfloat16)
        and config.hidden_act in _GELU
        and not config.is_decoder
        and getattr(config, "position_embedding_type", "absolute") == "absolute"
        and torch._C._has_mkldnn
    )


def _packed(model: Any) -> Packed:
    import torch

    def linear(*modules: Any) -> Linear:
        weight = torch.cat([m.weight for m in modules])
        bias = torch.cat([m.bias for m in modules])
        return Linear(torch.ops.mkldnn._reorder_linear_weight(weight), bias)

    def layer(block: Any) -> Layer:
        own, after = block.attention.self, block.attention.output
        return Layer(
            linear(own.query, own.key, own.value),
            linear(after.dense),
            after.LayerNorm,
            linear(block.intermediate.dense),
            linear(block.output.dense),
            block.output.LayerNorm,
        )

    config = model.config
    return Packed(
        model.embeddings,
        tuple(map(layer, model.encoder.layer)),
        config.num_attention_heads,
        _GELU[config.hidden_act],
        config.pad_token_id if type(model).__name__ in _COUNTED else None,
        kernels(model.dtype == torch.bfloat16),
    )


def _agrees(model: Any, packed: Packed) -> bool:
    """Whether both give the same vectors for tokens of three short texts, one of them with padding inside."""
    import torch

    config = model.config
    longest = min(40, config.max_position_embeddings - 1 - (packed.padding or 0))
    ids = [[(7 * i + n) % config.vocab_size for i in range(n)] for n in (longest, (longest + 1) // 2, 1)]
    output = packed(ids).float()
    starts = np.cumsum([0, *map(len, ids)])
    for own, (start, end) in zip(ids, pairwise(starts), strict=True):
        expected = model(input_ids=torch.tensor([own]), attention_mask=torch.ones((1, len(own))))[0][
            0
        ].float()
        cosine = torch.nn.functional.cosine_similarity(output[start:end], expected)
        if not bool((cosine > (0.9999 if model.dtype == torch.float32 else 0.99)).all()):
            return False
    return True
