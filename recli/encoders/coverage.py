"""Measures what a pretrained tokenizer can read of texts: unknown tokens, and scripts it takes apart into letters."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

_SAMPLE = 2000  # texts that are looked at, evenly spaced
_CHARACTERS = 500  # of each text

# Tokens per letter from which a tokenizer was not trained on a script: its tokens are single letters or bytes. Set by
# what all-MiniLM-L6-v2's tokenizer does; no multilingual one was at hand.
_SPLIT = {"CJK": 1.4, "HANGUL": 1.4, "HIRAGANA": 0.9, "KATAKANA": 0.9}
_SPLIT_LETTERS = 0.7
_NAMES = {"CJK": "Chinese", "HANGUL": "Korean", "HIRAGANA": "Japanese", "KATAKANA": "Japanese"}
_LATIN = ("LATIN", "FULLWIDTH", "MATHEMATICAL", "MODIFIER", "FEMININE", "MASCULINE", "MICRO")
_PROBE = "The quick brown fox jumps over the lazy dog and finds something beautiful"

_MAX_UNKNOWN = 0.1  # of the tokens, above which the user is warned
_MAX_UNREADABLE = 0.02  # of the texts, above which the user is warned; one text alone is no reason
_UNREADABLE = 1 / 3  # of a text's tokens are unknown or letters of a script that is taken apart

REMEDY = (
    "a multilingual model reads them: --model intfloat/multilingual-e5-small, "
    "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2 or BAAI/bge-m3; or --model tfidf, without download"
)


@dataclass
class Coverage:
    """Counts over the sampled texts. `scripts`: texts taken apart into letters. `example`: one that is unreadable."""

    texts: int = 0
    tokens: int = 0
    unknown: int = 0
    with_unknown: int = 0
    unreadable: int = 0
    scripts: Counter[str] = field(default_factory=Counter)
    example: str = ""

    def add(self, text: str, n_tokens: int, n_unknown: int, split: Counter[str]) -> None:
        """Count a text: `split` are its tokens in scripts that are taken apart."""
        self.texts += 1
        self.tokens += n_tokens
        self.unknown += n_unknown
        self.with_unknown += n_unknown > 0
        if n_unknown + split.total() > _UNREADABLE * n_tokens:
            self.unreadable += 1
            self.example = self.example or text
            self.scripts.update(script for script, _ in split.most_common(1))

    def warning(self, model: str) -> str:
        """What the user should know, or nothing where the model can read the texts."""
        few = self.unreadable < 2 or self.unreadable <= _MAX_UNREADABLE * self.texts
        if not self.texts or (few and self.unknown <= _MAX_UNKNOWN * max(self.tokens, 1)):
            return ""
        figures = []
        if self.unknown:
            figures.append(
                f"{self.unknown / self.tokens:.0%} of the tokens are unknown ([UNK]), "
                f"in {self.with_unknown / self.texts:.0%} of the texts"
            )
        if self.scripts:
            names = " and ".join(name for name, _ in self.scripts.most_common(2))
            share = self.scripts.total() / self.texts
            figures.append(
                f"{names} is taken apart into single letters or bytes, in {share:.0%} of the texts"
            )
        such = f" ({short(self.example)})" if self.example else ""
        return f"{model} cannot read these texts{such}: {'; '.join(figures)}. {REMEDY[0].upper()}{REMEDY[1:]}"


def measure(tokenizer: Any, texts: Sequence[str]) -> Coverage:
    """Tokenize an even sample of `texts` and count; without a fast tokenizer unknown tokens only."""
    sample = [text[:_CHARACTERS] for text in texts[:: max(1, -(-len(texts) // _SAMPLE))]]
    by_letter = (
        _tokens_per_letter(tokenizer, _PROBE) > _SPLIT_LETTERS
    )  # made for letters or bytes, in any script
    found = Coverage()
    if not sample:
        return found
    given = tokenizer(sample, add_special_tokens=False, return_attention_mask=False, verbose=False)
    for row, (text, ids) in enumerate(zip(sample, given["input_ids"], strict=True)):
        split: Counter[str] = Counter()
        if given.encodings and not by_letter and not text.isascii():
            split = _taken_apart(text, given.encodings[row].offsets)
        n_unknown = 0 if tokenizer.unk_token_id is None else ids.count(tokenizer.unk_token_id)
        found.add(text, len(ids), n_unknown, split)
    return found


def _tokens_per_letter(tokenizer: Any, text: str) -> float:
    n_tokens = len(tokenizer(text, add_special_tokens=False)["input_ids"])
    return n_tokens / sum(map(str.isalpha, text))


def _taken_apart(text: str, offsets: Sequence[tuple[int, int]]) -> Counter[str]:
    """Tokens of `text` by the script of their first letter, of scripts with about a token per letter, or more."""
    letters = Counter(script for c in text if (script := _script(c)))
    tokens: Counter[str] = Counter()
    for start, end in offsets:
        tokens.update({script for c in text[start:end] if (script := _script(c))})
    apart: Counter[str] = Counter()
    for script, n in tokens.items():
        if n > _SPLIT.get(script, _SPLIT_LETTERS) * letters[script]:
            apart[_NAMES.get(script, script.capitalize())] += n
    return apart


@lru_cache(maxsize=1 << 16)
def _script(character: str) -> str:
    """The script of a letter as its Unicode name begins; empty for Latin ones and for what is no letter."""
    if character.isascii() or not character.isalpha():
        return ""
    name = unicodedata.name(character, "").split(" ")[0].partition("-")[0]
    return "" if name in _LATIN else name


def short(text: str) -> str:
    """A text on one line of at most 80 characters, quoted."""
    line = " ".join(text.split())
    return repr(line if len(line) <= 80 else line[:77] + "...")
