"""`--cold-share` and `--max-warm-loss` of `recli train-hybrid`: the boost of cold items is found, not given."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from recli.cli.console import Console
from recli.errors import RecliError, UsageError
from recli.steps.train_hybrid.weight_search import K

if TYPE_CHECKING:
    from recli.data.interactions import Interactions
    from recli.models.base import Model
    from recli.models.fusion import Fusion, FusionConfig
    from recli.steps.train_hybrid.cold_items import WarmColdRanking
    from recli.steps.train_hybrid.config import TrainHybridConfig
    from recli.steps.train_hybrid.weights import PseudoColdSplit, SourceSpec, TrainingInputs

TOLERANCE = 0.005  # of the share: beyond it, the user is told


def boost_option(config: "TrainHybridConfig") -> str | None:
    """The option by which the boost is to be found, as typed; None: it is given. Raises `UsageError` for two."""
    finding = {"--cold-share": config.cold_share, "--max-warm-loss": config.max_warm_loss}
    given = [
        name for name, value in (finding | {"--cold-boost": config.cold_boost}).items() if value is not None
    ]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} both say where cold items stand", "give one of them")
    return next((f"{name} {value:g}" for name, value in finding.items() if value is not None), None)


def check_boost(
    config: "TrainHybridConfig",
    asked: str,
    interactions: "Interactions",
    ingredients: "list[SourceSpec]",
    splits: tuple[str, ...],
) -> None:
    """Raises `RecliError` where no boost does what is asked, before anything is trained."""
    from recli.steps.train_hybrid.weights import cold_items

    matrix = interactions.matrix(*splits)
    n_cold, n_items = int(cold_items(matrix).sum()), interactions.n_items
    if not n_cold:
        raise RecliError(
            f"{asked} has nothing to choose: each of the {n_items:,} items has events to train on",
            "leave it out",
        )
    if not any(one.content for one in ingredients):
        raise UsageError(
            f"{asked} needs a source that knows items without events",
            "add one that reads texts to --sources: content-knn or text-factors",
        )
    if config.max_warm_loss is not None and not interactions.splits["validation"].height:
        raise RecliError(
            f"{asked} is measured on validation rows, and there are none",
            "prepare the run with some: recli prepare LOG --out RUN --validation-size 0.1; or ask for a share "
            "of the lists, which needs none: --cold-share 0.1",
        )
    length = max(1, min(K, n_items - int(matrix.getnnz(axis=1).max())))  # of the shortest list
    most = min(1.0, n_cold / length)
    if config.cold_share is not None and config.cold_share > most:
        raise RecliError(
            f"{asked} cannot be reached: {n_cold} cold items fill at most {most:.1%} of a top {K}",
            f"ask for less, such as --cold-share {most / 2:.2g}",
        )


@dataclass(frozen=True)
class Measured:
    """Warm against cold items: with validation rows to find, and with hidden items to find."""

    told: "WarmColdRanking"
    hidden: "WarmColdRanking | None"


def measure(
    kitchen: "TrainingInputs",
    plan: "FusionConfig",
    models: "Mapping[str, Model]",
    blind: "PseudoColdSplit | None",
    max_users: int,
) -> Measured:
    """What the boost is found by; the models are those of the training rows alone."""
    from recli.steps.train_hybrid import cold_items as boosting
    from recli.steps.train_hybrid import weights

    model = weights.assemble(plan, kitchen.interactions.matrix("train"), models)
    told = boosting.validation_contest(kitchen, model, ("train",), max_users)
    return Measured(told, None if blind is None else boosting.hidden_contest(kitchen, plan, models, blind))


def find_boost(
    config: "TrainHybridConfig",
    asked: str,
    console: Console,
    kitchen: "TrainingInputs",
    model: "Fusion",
    measured: Measured,
) -> "tuple[Fusion, dict[str, Any]]":
    """The fusion with the boost that does what is asked, and figures for the manifest; says what it costs."""
    from recli.steps.train_hybrid import cold_items as boosting

    lists = measured.told
    if config.refit:  # there are more events, and fewer cold items
        lists = boosting.validation_contest(kitchen, model, ("train", "validation"), config.weight_users)
    if config.cold_share is not None:
        boost = boosting.boost_for_share(lists, config.cold_share)
    else:
        assert config.max_warm_loss is not None
        if not measured.told.warm.hits.any():
            raise RecliError(
                f"{asked} cannot be measured: no list of the {lists.warm.relevant.size:,} validation users has "
                "a warm item that they took",
                "ask for a share of the lists instead: --cold-share 0.1",
            )
        boost, bounded = boosting.boost_for_loss(measured.told, config.max_warm_loss)
        if not bounded:
            console.warn(f"{asked} bounds nothing: the cold items could stand at the top of every list")
    share = boosting.share_of_cold(lists, boost)
    if config.cold_share is not None and abs(share - config.cold_share) > TOLERANCE:
        console.warn(f"{asked}: the nearest share that a boost can reach is {share:.1%}")
    rows = boosting.trade_off(measured.told, measured.hidden, sorted({*boosting.SHOWN, boost}))
    _show(console, rows, measured, config.refit)
    console.say(
        f"{asked}: --cold-boost {boost:g} is chosen; cold items are {share:.1%} of the top {K} of "
        f"{lists.warm.relevant.size:,} users"
    )
    summary = {
        "cold_boost": boost,
        "cold_share": round(share, 6),
        "users": int(lists.warm.relevant.size),
        "trade_off": rows,
    }
    return replace(model, config=replace(model.config, cold_boost=boost)), summary


def _show(console: Console, rows: "list[dict[str, float | None]]", measured: Measured, refit: bool) -> None:
    from recli.steps.train_hybrid import cold_items as boosting

    shares = ("cold_share", "warm_loss")
    columns = {
        "cold_boost": "cold boost",
        "cold_share": "cold share",
        "warm_ndcg@20": "warm ndcg@20",
        "warm_loss": "warm loss",
        "hidden_ndcg@20": "hidden ndcg@20",
        "hidden_recall@20": "hidden recall@20",
    }
    table = []
    for row in rows:
        cells = [f"{row['cold_boost']:g}"]
        for name in list(columns)[1:]:
            value = row[name]
            cells.append("-" if value is None else f"{value:.1%}" if name in shares else f"{value:.4f}")
        table.append(cells)
    without = boosting.warm_ndcg(measured.told, None)
    note = (
        f"Cold items are those without training events; lists of {measured.told.warm.relevant.size:,} users."
    )
    if without is not None:
        note += f" Warm items in all; without cold ones in the lists their ndcg@20 is {without:.4f}."
    if measured.hidden is not None:
        n_hidden = measured.hidden.warm.relevant.size
        note += (
            f" Hidden: a tenth of the warm items stands among the cold ones, {n_hidden:,} users; its figures "
            "compare boosts with each other, not cold items with warm ones."
        )
    if refit:
        note += " All before --refit: items whose first events are validation rows are still cold here."
    console.table("What a boost of cold items costs and brings", list(columns.values()), table, note)
