"""`recli train-hybrid`: collaborative filtering and the items' texts in one model."""

from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recli import schema
from recli.commands.hybrid_boost import asked_of_boost, check_boost, find_boost, measure
from recli.commands.hybrid_input import (
    BASES,
    EXACT_ITEMS,
    TREND,
    Texts,
    named_sources,
    needs_texts,
    read_ingredients,
    read_texts,
)
from recli.commands.train_cf_config import checked_name
from recli.config import argument, option, option_name, parse_pairs, spec_of, to_dict
from recli.console import Console, run_path
from recli.errors import RecliError, UsageError
from recli.models.cease import CeaseConfig
from recli.models.content_knn import ContentKnnConfig
from recli.models.fusion import PRIOR, Fusion, FusionConfig
from recli.models.text_factors import TextFactorsConfig

if TYPE_CHECKING:
    from recli.hybrid import Ingredient, Kitchen, Weighting
    from recli.interactions import Interactions
    from recli.models.base import Model

_FUSION, _SOURCES, _CEASE = "Fusion", "Sources", "Collective EASE"
_CONTENT = ("content-knn", "text-factors")


@dataclass(frozen=True)
class TrainHybridConfig:
    run: str = argument(..., "The run's directory; - reads its path from stdin.", metavar="RUN", stored=False)
    name: str | None = option(
        None, "Name of the model: RUN/models/NAME.", default_text="hybrid, or --model's", stored=False
    )
    model: str = option(
        "fusion",
        "Late fusion of several sources, or one content model: collective EASE, content-kNN, text factors.",
        choices=("fusion", "cease", *_CONTENT),
    )
    embeddings: tuple[str, ...] = option(
        (),
        "Vectors of the texts, RUN/embeddings/NAME; repeat to join several.",
        default_text="those the run has, if it has one",
        metavar="NAME",
    )
    tfidf: bool = option(True, "Join TF-IDF vectors (SVD, 200 dimensions) of the texts to the embeddings.")
    sources: str | None = option(
        None,
        "What is fused: algorithms, or models of the run by name. A model that the run has under the algorithm's "
        f"name is taken, the others are trained with their defaults. {TREND} is popularity with a half-life that is "
        "found on validation. Sources whose weight is found to be 0 are left out of the model.",
        default_text="ials,bspm,user-knn,ease; with texts content-knn,text-factors, and up to "
        f"{EXACT_ITEMS:,} items cease for ease; with times sequential-rules,{TREND}",
        metavar="A,B,...",
        panel=_SOURCES,
    )
    cf: tuple[str, ...] = option(
        (),
        "Models of the run to fuse instead of the collaborative ones among --sources; repeatable.",
        default_text="those of --sources",
        metavar="MODEL",
        panel=_SOURCES,
    )
    neighbours: int = option(
        ContentKnnConfig.neighbours,
        "content-knn: nearest items kept per item.",
        min=1,
        max=100_000,
        panel=_SOURCES,
    )
    ridge: float = option(
        TextFactorsConfig.ridge,
        "text-factors: regularisation of the map from texts to factors.",
        min=1e-6,
        max=1e6,
        panel=_SOURCES,
    )
    history_half_life: float | None = option(
        None,
        "Older events of a history count less: half as much for each so many events that came later; for all "
        "sources that know no order themselves. 0: all alike.",
        min=0,
        max=1e6,
        default_text="found on validation for each source, where the log has times",
        metavar="EVENTS",
        panel=_SOURCES,
    )
    save_sources: bool = option(
        False, "Write the trained sources as models of the run, too.", panel=_SOURCES, stored=False
    )
    fusion: str = option(
        "linear",
        "linear: weights found on validation; weighted: those of --weights; voting: by places in the lists.",
        choices=("linear", "weighted", "voting"),
        panel=_FUSION,
    )
    weights: str | None = option(
        None,
        f"Weights of the sources for --fusion weighted, e.g. ials=0.5,user-knn=0.2,{PRIOR}=0.1; others get 0.",
        metavar="A=W,B=W,...",
        panel=_FUSION,
    )
    voting: str = option(
        "rrf",
        "rrf: sum of 1/(k + place). Safe only between equally strong sources: one weak one was measured to cost "
        "34%. borda: mean place.",
        choices=("rrf", "borda"),
        panel=_FUSION,
    )
    rrf_k: int = option(
        60, "k of rrf: the higher, the less the first places count.", min=1, max=100_000, panel=_FUSION
    )
    cold_boost: float | None = option(
        None,
        "Added to items without training events, whose scores are standardised apart; in standard deviations.",
        min=-100,
        max=100,
        default_text=f"{FusionConfig.cold_boost:g}",
        panel=_FUSION,
    )
    cold_share: float | None = option(
        None,
        "Find the boost at which cold items are this share of the top 20 of validation users, e.g. 0.1.",
        min=0,
        max=1,
        panel=_FUSION,
    )
    max_warm_loss: float | None = option(
        None,
        "Find the largest boost, or the least malus, at which warm items lose at most this share of their "
        "NDCG@20 on validation to cold ones in the lists, e.g. 0.05.",
        min=0,
        max=1,
        panel=_FUSION,
    )
    weight_users: int = option(
        5000,
        "Validation users that weights, and the boost of cold items, are searched on, a random sample.",
        min=1,
        max=10_000_000,
        panel=_FUSION,
    )
    l2: float | None = option(
        None,
        "cease: regularisation.",
        min=1e-3,
        max=1e9,
        default_text="searched on validation",
        panel=_CEASE,
    )
    text_weight: float | None = option(
        None,
        "cease: weight of the texts beside the interactions.",
        min=0,
        max=1e6,
        default_text="searched on validation",
        panel=_CEASE,
    )
    max_items: int = option(
        CeaseConfig.max_items, "cease: refuse larger catalogues.", min=1, max=1_000_000, panel=_CEASE
    )
    refit: bool = option(
        False, "At last train the sources again on train and validation together, keeping the weights."
    )
    seed: int = option(0, "Seed of all randomness.", min=0, max=2**31 - 2)


def train_hybrid(config: TrainHybridConfig, console: Console) -> None:
    """Fuse collaborative filtering with the vectors of the texts: RUN/models/NAME.

    Each source scores all items; its scores are standardised user by user and added with weights, which are found
    on the validation split. Items without training events are scored from their texts, in a block of their own.

    Example: recli train-hybrid sample_data/run
    """
    from recli import artifacts, training
    from recli.hybrid import Kitchen

    name = checked_name(config.name or ("hybrid" if config.model == "fusion" else config.model))
    _check_fusion_options(config)
    asked = asked_of_boost(config)
    run = run_path(config.run)
    interactions = artifacts.read_interactions(run)
    sources = named_sources(config, interactions, artifacts.part_names(run, schema.MODELS))
    given = _given_weights(config, sources)
    _check_times(config, sources, interactions)
    if config.model == "fusion" and given is None and not training.has_validation(interactions):
        raise RecliError(
            f"there are no validation rows in {run} to find weights on",
            "prepare it with some: recli prepare LOG --out RUN --validation-size 0.1; or give the weights: "
            "--fusion weighted --weights ials=0.5,...",
        )
    texts = read_texts(run, config, interactions, console) if needs_texts(config, sources) else None
    kitchen = Kitchen(interactions, texts.features if texts else None, config.seed, console.progress)
    inputs, ingredients = read_ingredients(run, config, interactions, sources, console)
    _check_overwriting(run, name, config, inputs, ingredients, console)
    made = _Made(config, console, kitchen, sources, ingredients)
    if asked is not None:
        check_boost(config, asked, interactions, made.fused, made.splits)
    if config.model == "fusion":
        options, model, summary = made.fusion(given, texts)
    else:
        options, model, summary = made.content(training.has_validation(interactions))
    if config.save_sources:
        made.save(run, inputs)
    embeddings = texts.inputs() if texts else {}
    path = artifacts.write_model(
        run,
        name,
        config.model,
        to_dict(options),
        model,
        seed=config.seed,
        trained_on=made.splits,
        inputs=inputs | embeddings,
        summary=summary,
    )
    console.say(f"wrote {path}")
    console.result(
        run, {"model": name, "algorithm": config.model, "trained_on": list(made.splits), **summary}
    )


def _check_fusion_options(config: TrainHybridConfig) -> None:
    """Raises `UsageError` for options of the fusion where there is none."""
    if config.model == "fusion":
        return
    for one in fields(config):
        of_fusion = spec_of(one).panel == _FUSION or one.name in ("sources", "cf", "history_half_life")
        if of_fusion and getattr(config, one.name) != one.default:
            raise UsageError(
                f"{option_name(one)} is about a fusion: it does not go with --model {config.model}"
            )


def _check_times(config: TrainHybridConfig, sources: tuple[str, ...], interactions: "Interactions") -> None:
    """Raises `RecliError` where something is asked that needs the times of events, and there are none."""
    asked = [f"the source {TREND}"] * (TREND in sources) + ["--history-half-life"] * bool(
        config.history_half_life
    )
    if asked and not interactions.has_times:
        raise RecliError(
            f"{asked[0]} needs the time of events, and these interactions have no timestamps",
            "prepare the run from a log with a time column (recli prepare --time-column), or leave it out",
        )


def _check_overwriting(
    run: Path,
    name: str,
    config: TrainHybridConfig,
    inputs: dict[str, str],
    ingredients: "list[Ingredient]",
    console: Console,
) -> None:
    """Raises `UsageError` where the product would replace one of its own sources; warns of other replacements."""
    from recli import artifacts

    saved = [i.name for i in ingredients if config.save_sources and i.name != config.model]
    if f"{schema.MODELS}/{name}" in inputs or name in saved:
        raise UsageError(
            f"--name {name} would overwrite the model {name}, which is a source of it", "choose another name"
        )
    if name in artifacts.part_names(run, schema.MODELS):
        with suppress(RecliError):  # one that is damaged may be replaced without a word
            found = artifacts.open_part(run / schema.MODELS / name, schema.MODELS).config["algorithm"]
            if found != config.model:
                console.warn(f"the model {name} in {run}, which is of kind {found}, will be replaced")


def _given_weights(config: TrainHybridConfig, sources: tuple[str, ...]) -> dict[str, float] | None:
    """The weights that need no search: those of --weights, or equal ones for voting. Raises `UsageError`."""
    if config.fusion == "weighted" and config.weights is None:
        raise UsageError(f"--fusion weighted needs --weights, such as {sources[0]}=0.6,{PRIOR}=0.1")
    if config.weights is not None and config.fusion != "weighted":
        raise UsageError("--weights needs --fusion weighted")
    if config.fusion == "voting":
        return dict.fromkeys(sources, 1 / len(sources))
    if config.weights is None:
        return None
    given = parse_pairs(config.weights, "--weights")
    for name, weight in given.items():
        if name not in (*sources, PRIOR):
            raise UsageError(f"--weights: {name!r} is no source; they are {', '.join((*sources, PRIOR))}")
        if weight < 0:
            raise UsageError(f"--weights: {name}={weight:g} is negative")
    if not any(given.values()):
        raise UsageError("--weights: all are 0")
    return given


def _cold_weights(given: dict[str, float] | None, content: list[str]) -> dict[str, float] | None:
    """Weights of the content sources for cold items: the given ones, or equal ones if these are all 0."""
    if given is None:
        return None
    found = {name: given.get(name, 0.0) for name in content}
    return found if any(found.values()) else dict.fromkeys(content, 1 / len(content))


@dataclass
class _Made:
    """What is trained in the course of the command."""

    config: TrainHybridConfig
    console: Console
    kitchen: "Kitchen"
    sources: tuple[str, ...]  # those that are fused
    ingredients: "list[Ingredient]"  # they, and the base that text-factors needs
    models: "dict[str, Model]" = field(default_factory=dict)

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "validation") if self.config.refit else ("train",)

    @property
    def fused(self) -> "list[Ingredient]":
        return [one for one in self.ingredients if one.name in self.sources]

    def fusion(
        self, given: dict[str, float] | None, texts: Texts | None
    ) -> "tuple[Any, Model, dict[str, Any]]":
        """The fusion's config, the fusion, and figures for the manifest."""
        from recli import hybrid

        config, kitchen = self.config, self.kitchen
        content = [one.name for one in self.fused if one.content]
        self.models = hybrid.train_sources(kitchen, self._with_trend(), ("train",))
        self._age_histories()
        method = config.voting if config.fusion == "voting" else config.fusion
        plan = FusionConfig(method, config.rrf_k)
        if config.cold_boost is not None:
            plan = replace(plan, cold_boost=config.cold_boost)
        chosen = {name: self.models[name] for name in self.sources}
        warm = hybrid.weigh_warm(kitchen, chosen, plan, given, config.weight_users)
        cold = hybrid.Weighting({}, {}, None, 0)
        if content and hybrid.cold_items(kitchen.interactions.matrix(*self.splits)).any():
            given = _cold_weights(given, content)
            cold = hybrid.weigh_cold(kitchen, self.ingredients, self.models, plan, given, config.weight_users)
        self._show(warm, cold)
        self._leave_out({n for n in self.sources if not (warm.weights.get(n) or cold.weights.get(n))})
        plan = replace(
            plan,
            sources=tuple(asdict(source) for source in hybrid.sources_of(self.fused, self.models)),
            weights=_used(warm.weights, self.sources),
            cold_weights=_used(cold.weights, self.sources),
        )
        asked, measured = asked_of_boost(config), None
        if asked is not None:
            measured = measure(kitchen, plan, self.models, cold.blind, config.weight_users)
        cold = replace(cold, blind=None)  # models of their own, as large as those that are trained next
        if config.refit:
            self.models = hybrid.train_sources(kitchen, self.ingredients, self.splits)
        matrix = kitchen.interactions.matrix(*self.splits)
        model = hybrid.assemble(plan, matrix, self.models)
        summary: dict[str, Any] = {"sources": _figures(warm, cold)}
        if warm.ndcg is not None:
            summary["validation"] = {"ndcg@20": round(warm.ndcg, 6), "users": warm.users}
        if cold.ndcg is not None:
            summary["pseudo_cold"] = {"ndcg@20": round(cold.ndcg, 6), "users": cold.users}
        if asked is not None and measured is not None:
            model, summary["cold_items"] = find_boost(config, asked, self.console, kitchen, model, measured)
            plan = model.config
        elif content:
            self._say_cold(model)
        if texts is not None:
            summary["encoder"] = texts.encoder()
            model = hybrid.with_profiles(model, texts.vectors, texts.space, matrix)
        return plan, model, summary

    def _with_trend(self) -> "list[Ingredient]":
        """The ingredients, recent popularity with the half-life that was found."""
        from recli import timing, training

        if TREND in self.sources and training.has_validation(self.kitchen.interactions):
            with self.console.progress(f"half-life of {TREND}", len(timing.TREND_DAYS) + 1) as advance:
                found = timing.trend_config(self.kitchen, advance)
            self.ingredients = [replace(i, config=found) if i.name == TREND else i for i in self.ingredients]
        return self.ingredients

    def _age_histories(self) -> None:
        """Give the sources half-lives of histories: the one that was asked for, or those found on validation."""
        from recli import timing, training
        from recli.models.recency import recent

        asked, interactions = self.config.history_half_life, self.kitchen.interactions
        if asked is None and not (interactions.has_times and training.has_validation(interactions)):
            return
        aging = [one for one in self.ingredients if timing.may_age(one, self.models[one.name])]
        if asked is None:
            steps = len(aging) * len(timing.HALF_LIVES)
            with self.console.progress("half-lives of histories", steps) as advance:
                found = timing.choose_half_lives(self.kitchen, aging, self.models, advance)
        else:
            found = {one.name: asked for one in aging}
        self.ingredients = [
            replace(one, history_half_life=found.get(one.name, one.history_half_life))
            for one in self.ingredients
        ]
        self.models = {name: recent(model, found.get(name, 0.0)) for name, model in self.models.items()}

    def _leave_out(self, silent: set[str]) -> None:
        """Forget the sources that have no weight; but for text factors, which score texts about users."""
        silent -= {one.name for one in self.ingredients if one.algorithm == "text-factors"}
        if silent.issuperset(
            self.sources
        ):  # the prior has all the weight, but a fusion has at least one source
            silent.discard(self.sources[0])
        if not silent:
            return
        self.console.say(
            f"left out, as their weight is 0: {', '.join(n for n in self.sources if n in silent)}"
        )
        self.sources = tuple(name for name in self.sources if name not in silent)
        needs_base = any(one.algorithm == "text-factors" for one in self.ingredients)
        self.ingredients = [
            one
            for one in self.ingredients
            if one.name not in silent or (needs_base and one.algorithm in BASES)
        ]
        kept = {one.name for one in self.ingredients}
        self.models = {name: model for name, model in self.models.items() if name in kept}

    def content(self, has_validation: bool) -> "tuple[Any, Model, dict[str, Any]]":
        """One content algorithm by itself: its config, its model, and figures for the manifest."""
        from recli import hybrid, training

        config, kitchen = self.config, self.kitchen
        (one,) = (i for i in self.ingredients if i.name == config.model)
        judge = training.judge(kitchen.interactions, config.seed) if has_validation else None
        summary: dict[str, Any] = {}
        if judge is not None and one.algorithm == "cease" and None in (config.l2, config.text_weight):
            with self.console.progress(
                "searching cease", hybrid.cease_trials(config.l2, config.text_weight)
            ) as advance:
                options, trials = hybrid.tune_cease(
                    kitchen, one.config, config.l2, config.text_weight, judge, advance
                )
            one = replace(one, config=options)
            summary["trials"] = [{"l2": a, "text_weight": b, "ndcg@20": round(c, 6)} for a, b, c in trials]
            rows = [[f"{a:g}", f"{b:g}", f"{c:.4f}"] for a, b, c in trials]
            self.console.table("Collective EASE on validation", ["l2", "text-weight", "ndcg@20"], rows)
        self.ingredients = [one if i.name == one.name else i for i in self.ingredients]
        self.models = hybrid.train_sources(kitchen, self.ingredients, ("train",))
        if judge is not None:
            score = round(judge(self.models[one.name]), 6)
            summary["validation"] = {"ndcg@20": score, "users": int(judge.users.size)}
            self.console.say(f"validation ndcg@20 {score:.4f} ({judge.users.size:,} users)")
        if config.refit:
            self.models = hybrid.train_sources(kitchen, self.ingredients, self.splits)
        return one.config, self.models[one.name], summary

    def save(self, run: Path, inputs: dict[str, str]) -> None:
        """Write the sources that were trained here as models of the run, except for the one that is the product."""
        from recli import artifacts

        for one in self.ingredients:
            if f"{schema.MODELS}/{one.name}" in inputs or one.name == self.config.model:
                continue
            path = artifacts.write_model(
                run,
                one.name,
                one.algorithm,
                to_dict(one.config),
                self.models[one.name],
                seed=self.config.seed,
                trained_on=self.splits,
                history_half_life=one.history_half_life,
            )
            self.console.say(f"wrote {path}")

    def _say_cold(self, model: "Fusion") -> None:
        """How many items are cold, and how often the fusion lists them: nothing else says what the boost does."""
        from recli import hybrid

        n_cold, n_items = int(model.cold.sum()), model.cold.size
        if not n_cold:
            return
        share, users = hybrid.cold_share(model, self.kitchen.interactions, self.splits, self.config.seed)
        boost = model.config.cold_boost
        listed = f": {share:.1%} of the top 20 of {users:,} validation users" if users else ""
        self.console.say(
            f"{n_cold:,} of {n_items:,} items are cold (no events to train on){listed} at --cold-boost "
            f"{boost:g}; a larger one, in standard deviations, lists more of them"
        )

    def _show(self, warm: "Weighting", cold: "Weighting") -> None:
        rows = [
            [name, _digits(warm.alone.get(name)), _digits(weight), *_cold_digits(cold, name)]
            for name, weight in warm.weights.items()
        ]
        rows.append(["fusion", _digits(warm.ndcg), "", *([_digits(cold.ndcg), ""] if cold.weights else [])])
        columns = ["source", "ndcg@20", "weight", *(["cold ndcg@20", "cold weight"] if cold.weights else [])]
        note = f"NDCG@20 among items with training events, {warm.users:,} validation users."
        if cold.weights:
            note += f" Cold: among a hidden tenth of the items, {cold.users:,} users."
        self.console.table("Sources", columns, rows, note)


def _used(weights: dict[str, float], sources: tuple[str, ...]) -> dict[str, float]:
    """The weights of the sources that are kept, and of the prior."""
    return {name: weight for name, weight in weights.items() if name in (*sources, PRIOR)}


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _cold_digits(cold: "Weighting", name: str) -> list[str]:
    return [_digits(cold.alone.get(name)), _digits(cold.weights.get(name))] if cold.weights else []


def _figures(warm: "Weighting", cold: "Weighting") -> dict[str, Any]:
    """What is known of each source, for the manifest."""
    known = {
        "weight": warm.weights,
        "ndcg@20": warm.alone,
        "cold_weight": cold.weights,
        "cold_ndcg@20": cold.alone,
    }
    return {
        name: {key: round(of[name], 6) for key, of in known.items() if name in of} for name in warm.weights
    }
