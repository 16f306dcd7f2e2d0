"""Names of event types that say no: a dislike, a return, a cancellation."""

from __future__ import annotations

import re
import unicodedata

# Words that say no wherever they are in a name.
_NO = frozenset(
    re.findall(
        r"[a-z]+",
        """
        dislike unlike skip hide hidden remove delete refund unsubscribe unfollow unfavorite unfavourite unstar unsave
        uninstall downvote thumbsdown cancel dismiss reject ignore mute ban hate discard bounce churn chargeback unpin
        uninterested notinterested undo unmatch swipeleft
        nomegusta saltar omitir ocultar bloquear cancelar eliminar rechazar devolver devolucion reembolso denunciar
        desinstalar descartar naogostei excluir devolucao pular
        uberspringen ausblenden blockieren loschen entfernen stornieren storno storniert ruckgabe retoure erstattung
        abbestellen ablehnen verwerfen gefalltnicht
        masquer bloquer supprimer annuler rembourser remboursement signaler rejeter
        """,
    )
)
# Nouns of other things too: these say no as a whole name or in the past, and `return` as the last word.
_ALSO_NOUNS = frozenset(
    ("return", "report", "block", "flag", "decline", "retour", "melden", "abuse", "spam", "complaint")
)
_PHRASES = (
    "thumbs down", "thumb down", "down vote", "dis like", "un like", "not interested", "no interest", "dont like",
    "do not like", "dont recommend", "do not recommend", "not for me", "no me gusta", "nao gostei", "gefallt nicht",
    "gefallt mir nicht", "mag ich nicht", "nicht interessiert", "kein interesse", "naime pas", "n aime pas",
    "pas interesse", "swipe left", "opt out", "un subscribe", "un follow",
)  # fmt: skip
_SUBSTRINGS = (
    "不喜欢", "不感兴趣", "没兴趣", "讨厌", "踩", "取消", "取关", "退货", "退款", "退订", "拉黑", "屏蔽", "举报",
    "删除", "移除", "跳过", "差评", "卸载", "不喜歡", "取關", "退貨", "刪除", "跳過",
    "低評価", "返品", "返金", "ブロック", "非表示", "スキップ", "嫌い", "興味なし", "싫어요",
    "건너뛰기", "환불", "반품",
    "дизлайк", "не нравится", "не интересно", "пропустить", "возврат", "отмена", "скрыть", "👎",
)  # fmt: skip
_WHOLE = frozenset(("-1", "-1.0", "no", "negative", "neg", "down", "nope", "bad"))


def says_no(name: str) -> bool:
    """Whether an event type's name says that the user does not want the item."""
    text = unicodedata.normalize("NFKC", name).strip()
    if text.casefold() in _WHOLE or any(part in text.casefold() for part in _SUBSTRINGS):
        return True
    words = _words(text)
    phrase = f" {' '.join(words)} "
    if any(f" {known} " in phrase for known in _PHRASES) or "".join(words) in _NO:
        return True
    return any(
        bool(_stems(word) & _NO) or bool(_past(word) & _ALSO_NOUNS) or _is_noun_that_says_no(place, words)
        for place, word in enumerate(words)
    )


def _is_noun_that_says_no(place: int, words: list[str]) -> bool:
    word = words[place]
    return word in _ALSO_NOUNS and (len(words) == 1 or (word == "return" and place == len(words) - 1))


def _words(text: str) -> list[str]:
    """The words of a name, in lower case and without accents: `Remove_fromCart` has remove, from and cart."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).replace("ß", "ss").replace("'", "").replace("’", "")
    plain = "".join(c for c in unicodedata.normalize("NFKD", apart) if not unicodedata.combining(c))
    return re.findall(r"[^\W\d_]+", plain.casefold())


def _stems(word: str) -> set[str]:
    """A word and what it may be a form of: disliked, skipped, removes, cancelling."""
    return {word} | _past(word) | _without(word, "s") | _without(word, "ing") | _without(word, "al")


def _past(word: str) -> set[str]:
    return _without(word, "ed") | ({word[:-1]} if word.endswith("ed") else set())


def _without(word: str, ending: str) -> set[str]:
    if not word.endswith(ending) or len(word) <= len(ending) + 2:
        return set()
    stem = word.removesuffix(ending)
    single = {stem[:-1]} if stem[-1] == stem[-2] else set()
    return {stem, f"{stem}e"} | single
