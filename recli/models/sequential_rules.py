"""Sequential rules: items that tend to come soon after those of a history, above all after the last ones.

Kamehkhosh, Jannach, Ludewig 2017, "A Comparison of Frequent Pattern Techniques and a Deep Learning Method for
Session-Based Recommendation" (SR): each pair of items in a history adds 1 / steps between them to the rule from the
earlier to the later, and the rules of the last item make the list. Histories here are longer and sparser than sessions,
so the rules of all items are used, those of the last ones most; pairs may count backward too; users count less the more
active they are, and popular items less, as in `item-knn`.
"""

from dataclasses import dataclass

import numpy as np

from recli import schema
from recli.config import Config, Tune, option
from recli.data.history import History, order_of, ordered_pairs
from recli.errors import RecliError
from recli.models.base import Model, Training, algorithm, pack_csr, unpack_csr
from recli.models.kernels.neighbors import dense, keep_largest, neighbors_option, scaled
from recli.schema import CSR, Float32, Float64, Int64, State

_PAIRS_PER_BLOCK = 4_000_000  # pairs that are added at a time
_DAMPING = 0.25  # power of a user's items; 0 and 0.5 were 0 to 6% worse on three logs
_NEARNESS = 0.5  # power of the steps between a pair; 1 was 1 to 13% worse, 0 from 2% better to 5% worse


@dataclass(frozen=True)
class SequentialRulesConfig(Config):
    # Chosen on validation. NDCG@20 on Amazon Beauty (leave-last-out), MovieTweetings (global temporal) and MovieLens
    # (610 users, random): .076, .086, .151; the paper's rules, those of the last item mostly: .072, .072, .032.
    window: int = option(
        20, "Pairs count that are at most so many steps apart.", min=1, max=10_000, tune=Tune(1, 50, log=True)
    )
    backward: float = option(
        0.2,
        "Weight of pairs against their order: 0 is strictly sequential; more where the order says little.",
        min=0,
        max=1,
        tune=Tune(0, 1),
    )
    recency: float = option(
        0.8,
        "Items of a history count 1 / (1 + later ones) to this power; 0: all equally.",
        min=0,
        max=20,
        tune=Tune(0, 2),
    )
    popularity_power: float = option(
        0.3,
        "Rules to popular items count less: by their users to this power.",
        min=0,
        max=2,
        tune=Tune(0, 0.7),
    )
    shrinkage: float = option(
        10.0,
        "Shrinkage of rules between rare items: added to the denominator.",
        min=0,
        max=1e6,
        tune=Tune(0, 40),
    )
    neighbors: int = neighbors_option(200, "rules that are kept for each item.", Tune(20, 500, log=True))


@dataclass(frozen=True)
class SequentialRules(Model):
    """score(u, i) = sum over the items j of a history of value(u, j) * (1 + steps_j)**-recency * rule(j, i).

    A power suits short and long histories at once. With exponential weights, the half-life that was best for Amazon
    Beauty (1) left MovieLens .052 where a power of 0.75 gives .163; the half-life of 8 was worse than it on both.
    """

    rules: CSR  # float32 (n_items, n_items), row j: what comes after j
    recency: float

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        values = history.values
        if history.steps is not None:
            values = values.astype(np.float32, copy=True)
            values.data *= (1.0 + history.steps).astype(np.float32) ** np.float32(-self.recency)
        return dense(values @ self.rules)

    @property
    def uses_order(self) -> bool:
        return True

    def state(self) -> State:
        return pack_csr("rules", self.rules)


def load(config: SequentialRulesConfig, state: State) -> SequentialRules:
    return SequentialRules(unpack_csr("rules", state), config.recency)


@algorithm(
    "sequential-rules",
    help="what tends to come soon after the last items",
    config=SequentialRulesConfig,
    load=load,
)
def fit(config: SequentialRulesConfig, training: Training) -> SequentialRules:
    rows = training.rows
    times = None if rows is None else order_of(rows)
    if rows is None or times is None:
        raise RecliError(
            "the algorithm sequential-rules needs the order of events, which these interactions do not have",
            "prepare the run from a log with times (recli prepare --time-column) or with rows in order (--in-order), "
            "or use another --algorithm",
        )
    users, items = (rows[c].to_numpy() for c in (schema.USER, schema.ITEM))
    counts = pair_counts(users, items, times, training.matrix.shape[1], config.window, config.backward)
    popular = np.maximum(training.matrix.getnnz(axis=0), 1).astype(np.float64)  # (n_items,)
    source = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    target = counts.indices
    counts.data /= np.sqrt(popular[source]) * popular[target] ** config.popularity_power + config.shrinkage
    training.advance(1, "")
    return SequentialRules(keep_largest(scaled(counts), config.neighbors), config.recency)


def pair_counts(users: Int64, items: Int64, times: Int64, n_items: int, window: int, backward: float) -> CSR:
    """Weights of the pairs of items that users had one after the other, csr float64 (n_items, n_items).

    Row j, column i: the sum over the users who had j before i, at most `window` steps apart, of
    steps^(-1/2) items_of_the_user^(-1/4), and `backward` times the same where i came before j. Events at the same time
    count as both orders, half each.
    """
    from scipy.sparse import csr_matrix

    kept, steps = ordered_pairs(users, items, times)
    order = np.lexsort((-steps, users[kept]))  # by user, the first events first
    user, item, time = (column[kept][order] for column in (users, items, times))
    damping = np.maximum(np.bincount(user), 1) ** -_DAMPING  # (n_users,)
    total = csr_matrix((n_items, n_items), dtype=np.float64)
    for apart in range(1, min(window, user.size - 1) + 1):
        for start in range(0, user.size - apart, _PAIRS_PER_BLOCK):
            first = np.arange(start, min(start + _PAIRS_PER_BLOCK, user.size - apart))
            first = first[user[first] == user[first + apart]]
            weight: Float64 = damping[user[first]] * apart**-_NEARNESS
            tied = time[first] == time[first + apart]
            onward = np.where(tied, (1 + backward) / 2, 1.0) * weight
            back = np.where(tied, (1 + backward) / 2, backward) * weight
            pairs = (
                np.concatenate([item[first], item[first + apart]]),
                np.concatenate([item[first + apart], item[first]]),
            )
            total = total + csr_matrix((np.concatenate([onward, back]), pairs), shape=total.shape)
    total.eliminate_zeros()
    return total
