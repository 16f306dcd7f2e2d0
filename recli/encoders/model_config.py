"""Reads a pretrained encoder's settings (pooling, prompt, length, normalization) from its files.

sentence-transformers describes a model in modules.json, sentence_bert_config.json, 1_Pooling/config.json and
config_sentence_transformers.json. They are read here, because transformers alone knows none of them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from recli.errors import RecliError, UsageError

POOLINGS = ("mean", "cls", "last")

# What model cards ask for and no file says, by model name. Items are compared with each other, so these are the
# prefixes for features and clustering where a family has them; bge, gte, mxbai and arctic want one for queries only.
_PROMPTS = (
    (r"(^|[/_-])(multilingual-)?e5-(small|base|large)(?!.*instruct)", "query: "),
    (r"nomic-embed-text", "clustering: "),
    (r"modernbert-embed", "search_document: "),
)
_MATRYOSHKA = re.compile(
    r"matryoshka|nomic-embed-text-v(1\.5|2)|modernbert-embed|mxbai-embed-(large|2d)|qwen3-embedding|embeddinggemma"
    r"|arctic-embed-.*v(1\.5|2)|jina-embeddings-v(3|4)",
    re.IGNORECASE,
)
_DECODERS = re.compile(r"^(qwen|llama|mistral|mixtral|gemma|gpt|opt|phi|falcon|bloom|olmo|smollm|granite)")
_ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "Sigmoid", "SiLU")
_SENTENCE_PARTS = ("1_Pooling", "config_sentence_transformers.json")  # never without modules.json
_DEFAULT_TOKENS = 512  # where no file sets a limit


@dataclass(frozen=True)
class Dense:
    """A layer after pooling: `folder` holds its model.safetensors (linear.weight [, linear.bias])."""

    folder: Path
    activation: str


@dataclass(frozen=True)
class EncoderConfig:
    """From tokens to a vector. `notes`: what was assumed or added, for the user to read."""

    pooling: str  # one of POOLINGS
    max_tokens: int
    prompt: str = ""  # put before every text
    pool_prompt: bool = True  # False: the prompt's tokens are left out of the mean
    lower_case: bool = False
    dense: tuple[Dense, ...] = ()
    matryoshka: bool = False  # trained so that its first dimensions make a good vector by themselves
    notes: tuple[str, ...] = ()


def read_encoder_config(
    folder: Path,
    name: str,
    *,
    pooling: str = "auto",
    max_tokens: int | None = None,
    prompt: str | None = None,
) -> EncoderConfig:
    """How the model `name` in `folder` is used: what its files say, overridden by the user's options."""
    config = _json(folder / "config.json")
    modules = _json_list(folder / "modules.json")
    notes: list[str] = []
    if pooling == "auto":
        pooling, pool_prompt, note = _pooling(folder, modules, config)
        notes += [note] if note else []
    else:
        pool_prompt = True
    chosen, note = (prompt, "") if prompt is not None else _prompt(folder, name)
    notes += [note] if note else []
    encoder_config = EncoderConfig(
        pooling,
        _max_tokens(folder, config, max_tokens),
        chosen,
        pool_prompt,
        bool(_sentence_config(folder).get("do_lower_case", False)),
        tuple(_dense(_module(folder, m)) for m in modules if _kind(m) == "Dense"),
        "matryoshka_dimensions" in config or bool(_MATRYOSHKA.search(name)),
    )
    return replace(encoder_config, notes=tuple(notes))


def _pooling(folder: Path, modules: list[dict[str, Any]], config: dict[str, Any]) -> tuple[str, bool, str]:
    """The pooling the files name, whether the prompt takes part in it, and a note where it is a guess."""
    unknown = [_kind(m) for m in modules if _kind(m) not in ("Transformer", "Pooling", "Normalize", "Dense")]
    if unknown:
        raise RecliError(
            f"{folder.name} has a module of kind {unknown[0]}, which recli does not run",
            "choose another model, or set --pooling to use the transformer alone",
        )
    described = [m for m in modules if _kind(m) == "Pooling"]
    if described:
        stored = _json(_module(folder, described[0]) / "config.json")
        modes = _modes(stored)
        known = {"mean": "mean", "mean_sqrt_len_tokens": "mean", "cls": "cls", "lasttoken": "last"}
        if len(modes) != 1 or modes[0] not in known:  # mean_sqrt_len: another length, the same direction
            raise RecliError(
                f"{folder.name} pools by {' and '.join(modes) or 'nothing'}, which recli does not do",
                f"choose one of --pooling {', '.join(POOLINGS)}, or another model",
            )
        return known[modes[0]], bool(stored.get("include_prompt", True)), ""
    if not modules and any((folder / part).exists() for part in _SENTENCE_PARTS):
        raise RecliError(
            f"{folder.name} is a model of sentence-transformers without its modules.json, which says how to pool",
            f"get the model again, or say it: --pooling {', '.join(POOLINGS)}",
        )
    decoder = _is_decoder(config)
    guess = "last" if decoder else "mean"
    why = "a decoder" if decoder else "an encoder"
    return guess, True, f"no file says how to pool: --pooling {guess}, as usual for {why}"


def _modes(stored: dict[str, Any]) -> list[str]:
    if "pooling_mode" in stored:  # since sentence-transformers 5.2
        mode = stored["pooling_mode"]
        return [mode] if isinstance(mode, str) else list(mode)
    prefix = "pooling_mode_"
    named = {
        "cls_token": "cls",
        "mean_tokens": "mean",
        "max_tokens": "max",
        "weightedmean_tokens": "weightedmean",
    }
    on = [
        key.removeprefix(prefix) for key, value in stored.items() if key.startswith(prefix) and value is True
    ]
    return [named.get(mode, mode) for mode in on]


def _is_decoder(config: dict[str, Any]) -> bool:
    causal = any("CausalLM" in a or "LMHead" in a for a in config.get("architectures") or [])
    return causal or bool(_DECODERS.match(str(config.get("model_type", ""))))


def _prompt(folder: Path, name: str) -> tuple[str, str]:
    """What to put before every text, and a note where it is not nothing."""
    stored = _json(folder / "config_sentence_transformers.json", required=False)
    prompts = stored.get("prompts") or {}
    for key in (stored.get("default_prompt_name"), "document", "passage"):
        if key in prompts:
            chosen = str(prompts[key])
            return chosen, f"the model's own prompt {key!r}: {chosen!r} before every text" if chosen else ""
    for pattern, prefix in _PROMPTS:
        if re.search(pattern, name, re.IGNORECASE):
            return (
                prefix,
                f"models of this family want a prefix: {prefix!r} before every text (--prompt '' for none)",
            )
    return "", ""


def _max_tokens(folder: Path, config: dict[str, Any], requested: int | None) -> int:
    """Tokens of a text that are read, special ones included. Raises `UsageError` above what the model can take."""
    tokenizer = _json(folder / "tokenizer_config.json", required=False).get("model_max_length")
    limit = _positions(config)
    if requested is not None:
        if limit is not None and requested > limit:
            raise UsageError(f"--max-tokens {requested}: {folder.name} has {limit} positions")
        return requested
    stored = _sentence_config(folder).get("max_seq_length") or tokenizer
    usable = stored if isinstance(stored, int | float) and stored < 10**6 else _DEFAULT_TOKENS
    return int(min(usable, limit or usable))


def _positions(config: dict[str, Any]) -> int | None:
    """The longest input of a model, None where it has no limit that config.json names."""
    positions = next(
        (config[k] for k in ("max_position_embeddings", "n_positions", "max_seq_len") if k in config), None
    )
    if not isinstance(positions, int) or positions <= 0:
        return None
    offset = {
        "roberta",
        "xlm-roberta",
        "camembert",
        "mpnet",
        "longformer",
    }  # positions start after the padding id
    return (
        positions - int(config.get("pad_token_id", 1)) - 1
        if config.get("model_type") in offset
        else positions
    )


def _sentence_config(folder: Path) -> dict[str, Any]:
    files = sorted(folder.glob("sentence_*_config.json"))  # sentence_bert_config.json; older: by model family
    return _json(files[0]) if files else {}


def _dense(folder: Path) -> Dense:
    stored = _json(folder / "config.json")
    activation = str(stored.get("activation_function", "Tanh")).rpartition(".")[2]
    if activation not in _ACTIVATIONS:
        raise RecliError(
            f"{folder} has the activation {activation}, which recli does not run", "choose another model"
        )
    if not (folder / "model.safetensors").is_file():
        raise RecliError(f"{folder} has no model.safetensors", "choose a model with safetensors weights")
    return Dense(folder, activation)


def _module(folder: Path, module: dict[str, Any]) -> Path:
    """The folder of a module. Raises `RecliError` where it lies outside the model's."""
    path = PurePosixPath(str(module["path"]))
    if path.is_absolute() or ".." in path.parts or "\\" in str(path):
        raise RecliError(
            f"{folder / 'modules.json'} names {module['path']!r}, which lies outside the model's folder",
            "such a file is not read: get the model again from whom you trust",
        )
    return folder / path


def _kind(module: dict[str, Any]) -> str:
    return str(module["type"]).rpartition(".")[2]


def _json_list(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    stored = _load(path)
    if not isinstance(stored, list) or not all(
        isinstance(m, dict) and "type" in m and "path" in m for m in stored
    ):
        raise RecliError(f"{path} is not a list of modules", "get the model again")
    return stored


def _json(path: Path, required: bool = True) -> dict[str, Any]:
    if not required and not path.is_file():
        return {}
    stored = _load(path)
    if not isinstance(stored, dict):
        raise RecliError(f"{path} is not an object", "get the model again")
    return stored


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecliError(f"{path} is missing", "get the model again") from None
    except (ValueError, RecursionError):
        raise RecliError(f"{path} is not JSON", "get the model again") from None
