"""Tiny random transformers on disk, saved as real ones are: for tests without network and without waiting."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, Qwen2Config, Qwen2Model

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789:'"
VOCABULARY = {
    t: i for i, t in enumerate([*SPECIAL, *LETTERS, *(f"##{c}" for c in LETTERS)])
}  # a token per letter


def tokenizer(limit: int = 64, specials: bool = True) -> PreTrainedTokenizerFast:
    """One token per letter. Like MiniLM's, its file embeds a truncation and a padding that nobody wants."""
    made = Tokenizer(models.WordPiece(VOCABULARY, unk_token="[UNK]", max_input_chars_per_word=10_000))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if specials:
        ends = [(t, VOCABULARY[t]) for t in ("[CLS]", "[SEP]")]
        made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    made.enable_truncation(8)
    made.enable_padding(length=8, pad_id=0, pad_token="[PAD]")
    names = {f"{n}_token": f"[{n.upper()}]" for n in ("pad", "unk", "cls", "sep")}
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=limit, **names)


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def bert(folder: Path, seed: int = 0, **options: Any) -> Path:
    """A bare BERT without any file of sentence-transformers: 32 dimensions, 2 layers, 64 positions."""
    torch.manual_seed(seed)
    given = {
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "initializer_range": 0.3,
    }
    config = BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=32, max_position_embeddings=64, **{**given, **options}
    )
    BertModel(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def sentence_bert(folder: Path, pooling: str = "cls_token", max_tokens: int = 32, seed: int = 0) -> Path:
    """A BERT with the files of sentence-transformers; `pooling` as in 1_Pooling/config.json."""
    bert(folder, seed)
    kind = "sentence_transformers.models."
    modules = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    write_json(
        folder / "modules.json",
        [{"idx": i, "name": str(i), "path": p, "type": kind + k} for i, (k, p) in enumerate(modules)],
    )
    modes = ("cls_token", "mean_tokens", "max_tokens", "lasttoken")
    write_json(folder / "1_Pooling/config.json", {f"pooling_mode_{m}": m == pooling for m in modes})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_tokens, "do_lower_case": False})
    return folder


def decoder(folder: Path, seed: int = 0) -> Path:
    """A Qwen2: causal attention, no special tokens at all."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    Qwen2Model(config).save_pretrained(folder)
    tokenizer(specials=False).save_pretrained(folder)
    return folder
