"""EASE with few predictors for each item: K^2 numbers at a time where the dense model needs n_items^2.

An item's column of EASE's weights is a ridge regression of the item on all others. Here it is one on its K nearest
items by cosine, in closed form: items chosen as fsSLIM does (Ning, Karypis 2011, "SLIM: Sparse Linear Methods for
Top-N Recommender Systems"), solved as in Steck 2019, "Markov Random Fields for Collaborative Filtering", but for
each item apart rather than for blocks of items that share a neighborhood.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from recli.compute.compiled import compiled
from recli.compute.threads import cores, one_blas_thread
from recli.errors import RecliError
from recli.models.base import Training
from recli.models.item_knn import ItemKnn, ItemKnnConfig
from recli.models.item_knn import fit as fit_item_knn
from recli.schema import CSR, Float32, Int32, Int64

_ITEMS_PER_TASK = 256  # items that a thread takes at a time


def fit_sparse(l2: float, neighbors: int, training: Training) -> ItemKnn:
    """Weights from each item's `neighbors` nearest items; the same bytes for any number of threads."""
    matrix = training.matrix
    # By cosine, measured with 200 neighbors: those by co-occurrence alone are the same popular items for all,
    # NDCG@20 was 2 to 3% lower and took twice as long; those that would explain most alone, by G_ij^2 / (G_ii + l2),
    # 2% lower on MovieLens. 50 neighbors lose up to 6%; 500 were between 1% worse and 1% better.
    chosen = fit_item_knn(
        ItemKnnConfig(neighbors=neighbors, weighting="cosine", shrinkage=0.0),
        Training(matrix, threads=training.threads),
    ).similar
    columns = solve_columns(training.signed, chosen, l2, training.threads or cores())
    return ItemKnn(columns.T.tocsr())


def solve_columns(matrix: CSR, chosen: CSR, l2: float, threads: int) -> CSR:
    """For each item j, the weights w of the items S = row j of `chosen`: (G_SS + l2 I) w = G_Sj, G = X'X.

    csr float32 (n_items, n_items), row j: the column j of the model. Raises `RecliError` where there is no solution.
    """
    from scipy.linalg.lapack import sposv
    from scipy.sparse import csr_matrix

    items = matrix.T.tocsr()  # (n_items, n_users)
    starts, users = items.indptr.astype(np.int64), items.indices.astype(np.int32)
    values, n = items.data.astype(np.float32), items.shape[0]
    ends, others = chosen.indptr, chosen.indices.astype(np.int32)
    solved = np.zeros(chosen.nnz, dtype=np.float32)
    kernel, widest = compiled_kernel(), int(np.diff(ends).max(initial=0))

    def work(first: int) -> None:
        slots, room = np.zeros(items.shape[1], np.int32), np.empty(widest * widest, np.float32)
        for j in range(first, min(first + _ITEMS_PER_TASK, n)):
            entries = slice(int(ends[j]), int(ends[j + 1]))
            k = entries.stop - entries.start
            if k == 0:
                continue
            gram, right = room[: k * k].reshape(k, k), np.empty(k, np.float32)
            kernel(np.append(others[entries], np.int32(j)), starts, users, values, slots, gram, right)
            gram[np.arange(k), np.arange(k)] += np.float32(l2)
            # LAPACK reads C order as the transpose: its upper triangle is our lower one, and nothing is copied.
            _, weights, failed = sposv(gram.T, right, lower=0, overwrite_a=1, overwrite_b=1)
            if failed:
                raise RecliError("an item's regression has no solution", "raise --l2")
            solved[entries] = weights

    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(0, n, _ITEMS_PER_TASK)))
    return csr_matrix((solved, others, ends), shape=chosen.shape)


def local_gram(
    members: Int32,  # (k + 1,), the items S, and at last the item j itself
    starts: Int64,  # (n_items + 1,), where each item's users start
    users: Int32,  # (nnz,)
    values: Float32,  # (nnz,)
    slots: Int32,  # (n_users,), zeros; left as zeros
    gram: Float32,  # (k, k), written: lower triangle of G_SS
    right: Float32,  # (k,), written: G_Sj
) -> None:
    """Compute the cells of X'X that one regression needs, from the users of its items.

    Their histories within `members` are gathered and multiplied pair by pair: as many steps as the members
    co-occur. X'X need not be kept, not even sparse; where most pairs of items co-occur often, dense is faster.
    """
    k, total, n_users = len(members) - 1, 0, 0
    gram[:] = 0
    right[:] = 0
    for member in members:
        for at in range(starts[member], starts[member + 1]):
            slots[users[at]] += 1  # first: how many of the members each user has
            total += 1
    met = np.empty(total, np.int32)  # the users
    ends = np.empty(total + 1, np.int64)  # where each user's members end, as far as they have been written
    local, weights = (
        np.empty(total, np.int32),
        np.empty(total, np.float32),
    )  # members by user, and their values
    filled = 0
    for a in range(k + 1):
        for at in range(starts[members[a]], starts[members[a] + 1]):
            user = users[at]
            if slots[user] > 0:
                met[n_users], ends[n_users] = user, filled
                filled += slots[user]
                n_users += 1
                slots[user] = -n_users  # then: minus (1 + the user's index in `met`)
            index = -slots[user] - 1
            local[ends[index]], weights[ends[index]] = a, values[at]
            ends[index] += 1
    first = 0
    for index in range(n_users):
        slots[met[index]] = 0
        for p in range(first, ends[index]):
            value = weights[p]
            if local[p] == k:  # j is the last of a user's members
                for q in range(first, p):
                    right[local[q]] += value * weights[q]
            else:
                row = gram[local[p]]
                for q in range(first, p + 1):
                    row[local[q]] += value * weights[q]
        first = ends[index]


@lru_cache(1)
def compiled_kernel() -> Callable[..., None]:
    """`local_gram`, compiled (numba)."""
    floats, ints = "float32[::1]", "int32[::1]"
    return compiled(
        local_gram, f"void({ints}, int64[::1], {ints}, {floats}, {ints}, float32[:, ::1], {floats})"
    )
