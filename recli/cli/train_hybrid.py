"""`recli train-hybrid` on the terminal."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from recli.cli.console import Console, run_path
from recli.steps.train_hybrid.config import TrainHybridConfig as TrainHybridConfig

if TYPE_CHECKING:
    from recli.steps.train_hybrid.cold_items import ColdBoost, ListedCold
    from recli.steps.train_hybrid.step import TrainedHybrid


def train_hybrid(config: TrainHybridConfig, console: Console) -> None:
    """Train a hybrid model, late fusion of collaborative filtering and text embeddings: RUN/models/NAME.

    Each source scores all items; its scores are standardized per user and summed with weights that are fitted on
    the validation split. Items without training events (cold items) are scored from their texts, in a separate block.

    Example: recli train-hybrid sample_data/run
    """
    from recli.steps.train_hybrid import step

    hybrid = step.train_hybrid(replace(config, run=str(run_path(config.run))), console)
    if hybrid.sources is not None:
        _show_sources(console, hybrid)
    elif hybrid.trials is not None:
        rows = [[f"{l2:g}", f"{weight:g}", f"{ndcg:.4f}"] for l2, weight, ndcg in hybrid.trials.iter_rows()]
        console.table("Collective EASE on validation", ["l2", "text-weight", "ndcg@20"], rows)
    if hybrid.cold_boost is not None:
        _show_boost(console, hybrid.cold_boost, config.refit)
    if hybrid.listed_cold is not None:
        _say_listed(console, hybrid.listed_cold)
    if hybrid.sources is None and hybrid.validation is not None:
        console.say(f"validation ndcg@20 {hybrid.validation.ndcg:.4f} ({hybrid.validation.users:,} users)")
    for path in (*hybrid.saved_sources, hybrid.path):
        console.say(f"wrote {path}")
    console.result(hybrid.run, hybrid.summary)


def _show_sources(console: Console, hybrid: TrainedHybrid) -> None:
    """Print the weights of the sources; half-lives and figures of cold items only where there are any."""
    table: pl.DataFrame | None = hybrid.sources
    assert table is not None
    headings = {"source": "source", "half_life": "half-life", "ndcg@20": "ndcg@20", "weight": "weight"}
    if not (table["half_life"] != "").any():
        del headings["half_life"]
    has_cold = table["cold_weight"].null_count() < table.height
    if has_cold:
        headings |= {"cold_ndcg@20": "cold ndcg@20", "cold_weight": "cold weight"}
    rows = []
    for row in table.iter_rows(named=True):
        cells = {name: value if isinstance(value, str) else _digits(value) for name, value in row.items()}
        if row["source"] == "fusion":
            cells |= {"weight": "", "cold_weight": ""}
        rows.append([cells[name] for name in headings])
    users = hybrid.validation.users if hybrid.validation else 0
    note = f"NDCG@20 among items with training events, {users:,} validation users."
    if has_cold:
        n_cold_users = hybrid.pseudo_cold.users if hybrid.pseudo_cold else 0
        note += f" Cold: among pseudo-cold items (a held-out tenth), {n_cold_users:,} users."
    console.table("Sources", list(headings.values()), rows, note)


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _say_listed(console: Console, listed: ListedCold) -> None:
    """Report how many items are cold and how often they are listed, which shows the effect of the boost."""
    share = f": {listed.share:.1%} of the top 20 of {listed.users:,} validation users" if listed.users else ""
    console.say(
        f"{listed.n_cold:,} of {listed.n_items:,} items are cold (no events to train on){share} at --cold-boost "
        f"{listed.boost:g}; a larger one, in standard deviations, lists more of them"
    )


def _show_boost(console: Console, boost: ColdBoost, refit: bool) -> None:
    columns = ("cold_boost", "cold_share", "warm_ndcg@20", "warm_loss", "hidden_ndcg@20", "hidden_recall@20")
    shares = ("cold_share", "warm_loss")
    rows = [
        [
            f"{row['cold_boost']:g}",
            *(
                "-" if row[n] is None else f"{row[n]:.1%}" if n in shares else f"{row[n]:.4f}"
                for n in columns[1:]
            ),
        ]
        for row in boost.trade_off
    ]
    note = f"Cold items are those without training events; lists of {boost.measured_users:,} users."
    if boost.ndcg_without_cold is not None:
        note += f" Warm items in all; without cold ones in the lists their ndcg@20 is {boost.ndcg_without_cold:.4f}."
    if boost.pseudo_cold_users is not None:
        note += (
            f" Pseudo-cold: a held-out tenth of the warm items ranked as cold, {boost.pseudo_cold_users:,} users; its "
            "figures compare boosts with each other, not cold items with warm ones."
        )
    if refit:
        note += " All before --refit: items whose first events are validation rows are still cold here."
    labels = [name.replace("_", " ") for name in columns]
    console.table("What a boost of cold items costs and brings", labels, rows, note)
    console.say(
        f"{boost.target}: --cold-boost {boost.boost:g} is chosen; cold items are {boost.share:.1%} of the top 20 of "
        f"{boost.users:,} users"
    )
