"""TF-IDF and truncated SVD (latent semantic analysis, Deerwester et al. 1990): no model, no download, seconds."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from recli.compute.threads import one_blas_thread
from recli.encoders.base import Encoder, EncoderOptions, encoder, fitted
from recli.schema import CSR, Float32

DIM = 200  # where the user sets none

# Of scripts without spaces between words (Thai to Khmer, kana, ideograms) and of emoji, each character is a term, so
# that the pairs are pairs of characters. Others are words, one-letter ones and digits too: "C", "7".
_SINGLE = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\U0001f300-\U0001faff\U00020000-\U0003ffff"
)
_TERM = rf"[{_SINGLE}]|[^\W{_SINGLE}]+"


@encoder("tfidf", help="TF-IDF of words and word pairs, reduced by a truncated SVD")
def open_tfidf(options: EncoderOptions) -> Encoder:
    """TF-IDF fitted on the run's texts."""
    dim = options.dim or DIM
    return fitted(lambda corpus, texts: encode(corpus, texts, dim, options.seed), {"reduction": "svd"})


def encode(corpus: Sequence[str], texts: Sequence[str], dim: int, seed: int) -> Float32:
    """Vectors of `texts`, float32 (len(texts), d); d is `dim`, or less where the corpus cannot fill it.

    Words and pairs of words, 1 + log(tf), those of a single text left out (unless nothing would remain), sklearn's
    smoothed idf, rows of length 1, then the leading `dim` singular directions of the corpus.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    def vectorizer(min_df: int) -> TfidfVectorizer:
        return TfidfVectorizer(
            sublinear_tf=True,
            min_df=min_df,
            ngram_range=(1, 2),
            token_pattern=_TERM,
            dtype=np.float32,
        )

    if not any(re.search(_TERM, text) for text in corpus):
        return np.zeros((len(texts), 1), dtype=np.float32)
    try:
        terms = vectorizer(2)
        matrix = terms.fit_transform(corpus)
    except ValueError:  # sklearn's way to say that every word occurs in one text only
        terms = vectorizer(1)
        matrix = terms.fit_transform(corpus)
    with one_blas_thread():  # with more, the last bits would depend on how many
        directions = _directions(matrix, min(dim, min(matrix.shape)), seed)
        vectors = terms.transform(texts) @ np.ascontiguousarray(directions.T)
    return np.ascontiguousarray(vectors, dtype=np.float32)


def _directions(matrix: CSR, rank: int, seed: int) -> Float32:
    """The leading `rank` right singular vectors, float32 (rank, terms); fewer where the others are zero."""
    from sklearn.decomposition import TruncatedSVD

    if rank == min(matrix.shape):  # all directions: the exact SVD of a small matrix
        _, values, exact = np.linalg.svd(matrix.toarray(), full_matrices=False)
        directions: Float32 = exact[values > 1e-6 * values[0]]
        return directions
    leading: Float32 = TruncatedSVD(rank, n_iter=4, random_state=seed).fit(matrix).components_
    return leading
