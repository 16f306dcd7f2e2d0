"""What `recli train-hybrid` trains: the sources, their weights, and the fusion of them; or one content model."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recli import schema
from recli.cli.console import Console
from recli.config import to_dict
from recli.models.fusion import LOG_POPULARITY, Fusion, FusionConfig
from recli.models.popularity import RECENT_POPULARITY
from recli.steps.train_hybrid.boost import boost_option, find_boost, measure
from recli.steps.train_hybrid.config import TrainHybridConfig
from recli.steps.train_hybrid.sources import FACTOR_MODELS, Texts

if TYPE_CHECKING:
    from recli.models.base import Model
    from recli.steps.train_hybrid.weights import FittedWeights, SourceSpec, TrainingInputs


def _cold_weights(given: dict[str, float] | None, content: list[str]) -> dict[str, float] | None:
    """Weights of the content sources for cold items: the given ones, or equal ones if these are all 0."""
    if given is None:
        return None
    found = {name: given.get(name, 0.0) for name in content}
    return found if any(found.values()) else dict.fromkeys(content, 1 / len(content))


@dataclass
class Making:
    """What is trained in the course of the command."""

    config: TrainHybridConfig
    console: Console
    kitchen: "TrainingInputs"
    sources: tuple[str, ...]  # those that are fused
    ingredients: "list[SourceSpec]"  # they, and the base that text-factors needs
    models: "dict[str, Model]" = field(default_factory=dict)

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "validation") if self.config.refit else ("train",)

    @property
    def fused(self) -> "list[SourceSpec]":
        return [one for one in self.ingredients if one.name in self.sources]

    def fusion(
        self, given: dict[str, float] | None, texts: Texts | None
    ) -> "tuple[Any, Model, dict[str, Any]]":
        """The fusion's config, the fusion, and figures for the manifest."""
        from recli.steps.train_hybrid import weights as hybrid

        config, kitchen = self.config, self.kitchen
        content = [one.name for one in self.fused if one.content]
        self.models = hybrid.train_sources(kitchen, self._with_trend(), ("train",))
        self._age_histories()
        method = config.voting if config.fusion == "voting" else config.fusion
        plan = FusionConfig(method, config.rrf_k)
        if config.cold_boost is not None:
            plan = replace(plan, cold_boost=config.cold_boost)
        chosen = {name: self.models[name] for name in self.sources}
        warm = hybrid.fit_warm_weights(kitchen, chosen, plan, given, config.weight_users)
        cold = hybrid.FittedWeights({}, {}, None, 0)
        if content and hybrid.cold_items(kitchen.interactions.matrix(*self.splits)).any():
            given = _cold_weights(given, content)
            cold = hybrid.fit_cold_weights(
                kitchen, self.ingredients, self.models, plan, given, config.weight_users
            )
        self._show(warm, cold)
        self._leave_out({n for n in self.sources if not (warm.weights.get(n) or cold.weights.get(n))})
        plan = replace(
            plan,
            sources=tuple(asdict(source) for source in hybrid.sources_of(self.fused, self.models)),
            weights=_used(warm.weights, self.sources),
            cold_weights=_used(cold.weights, self.sources),
        )
        asked, measured = boost_option(config), None
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

    def _with_trend(self) -> "list[SourceSpec]":
        """The ingredients, recent popularity with the half-life that was found."""
        from recli.models import popularity
        from recli.steps.train_hybrid import half_lives
        from recli.training import validation

        if RECENT_POPULARITY in self.sources and validation.has_validation(self.kitchen.interactions):
            with self.console.progress(
                f"half-life of {RECENT_POPULARITY}", len(popularity.HALF_LIFE_DAYS) + 1
            ) as advance:
                found = half_lives.trend_config(self.kitchen, advance)
            self.ingredients = [
                replace(i, config=found) if i.name == RECENT_POPULARITY else i for i in self.ingredients
            ]
        return self.ingredients

    def _age_histories(self) -> None:
        """Give the sources half-lives of histories: the one that was asked for, or those found on validation."""
        from recli.models.wrappers import with_recency
        from recli.steps.train_hybrid import half_lives
        from recli.training import validation

        asked, interactions = self.config.history_half_life, self.kitchen.interactions
        if asked is None and not (interactions.has_order and validation.has_validation(interactions)):
            return
        aging = [one for one in self.ingredients if half_lives.may_age(one, self.models[one.name])]
        if asked is None:
            steps = len(aging) * len(half_lives.HALF_LIVES)
            with self.console.progress("half-lives of histories", steps) as advance:
                found = half_lives.choose_half_lives(self.kitchen, aging, self.models, advance)
        else:
            found = {one.name: asked for one in aging}
        self.ingredients = [
            replace(one, history_half_life=found.get(one.name, one.history_half_life))
            for one in self.ingredients
        ]
        self.models = {name: with_recency(model, found.get(name, 0.0)) for name, model in self.models.items()}

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
            if one.name not in silent or (needs_base and one.algorithm in FACTOR_MODELS)
        ]
        kept = {one.name for one in self.ingredients}
        self.models = {name: model for name, model in self.models.items() if name in kept}

    def content(self, has_validation: bool) -> "tuple[Any, Model, dict[str, Any]]":
        """One content algorithm by itself: its config, its model, and figures for the manifest."""
        from recli.steps.train_hybrid import weights as hybrid
        from recli.training import validation

        config, kitchen = self.config, self.kitchen
        (one,) = (i for i in self.ingredients if i.name == config.model)
        validator = validation.validator_of(kitchen.interactions, config.seed) if has_validation else None
        summary: dict[str, Any] = {}
        if validator is not None and one.algorithm == "cease" and None in (config.l2, config.text_weight):
            with self.console.progress(
                "searching cease", hybrid.cease_trials(config.l2, config.text_weight)
            ) as advance:
                options, trials = hybrid.tune_cease(
                    kitchen, one.config, config.l2, config.text_weight, validator, advance
                )
            one = replace(one, config=options)
            summary["trials"] = [{"l2": a, "text_weight": b, "ndcg@20": round(c, 6)} for a, b, c in trials]
            rows = [[f"{a:g}", f"{b:g}", f"{c:.4f}"] for a, b, c in trials]
            self.console.table("Collective EASE on validation", ["l2", "text-weight", "ndcg@20"], rows)
        self.ingredients = [one if i.name == one.name else i for i in self.ingredients]
        self.models = hybrid.train_sources(kitchen, self.ingredients, ("train",))
        if validator is not None:
            score = round(validator(self.models[one.name]), 6)
            summary["validation"] = {"ndcg@20": score, "users": int(validator.users.size)}
            self.console.say(f"validation ndcg@20 {score:.4f} ({validator.users.size:,} users)")
        if config.refit:
            self.models = hybrid.train_sources(kitchen, self.ingredients, self.splits)
        return one.config, self.models[one.name], summary

    def save(self, run: Path, inputs: dict[str, str]) -> None:
        """Write the sources that were trained here as models of the run, except for the one that is the product."""
        from recli.storage import runs

        for one in self.ingredients:
            if f"{schema.MODELS}/{one.name}" in inputs or one.name == self.config.model:
                continue
            path = runs.write_model(
                run,
                one.name,
                one.algorithm,
                to_dict(one.config),
                self.models[one.name],
                seed=self.config.seed,
                trained_on=self.splits,
                history_half_life=one.history_half_life,
                storage_dtype=self.config.storage_dtype,
            )
            self.console.say(f"wrote {path}")

    def _say_cold(self, model: "Fusion") -> None:
        """How many items are cold, and how often the fusion lists them: nothing else says what the boost does."""
        from recli.steps.train_hybrid import weights as hybrid

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

    def _show(self, warm: "FittedWeights", cold: "FittedWeights") -> None:
        ages = {one.name: _half_life(one) for one in self.ingredients}
        aged = any(ages.values())
        rows = [
            [
                *(name, *[ages.get(name, "")] * aged),
                *(_digits(warm.alone.get(name)), _digits(weight), *_cold_digits(cold, name)),
            ]
            for name, weight in warm.weights.items()
        ]
        of_cold = [_digits(cold.ndcg), ""] if cold.weights else []
        rows.append(["fusion", *[""] * aged, _digits(warm.ndcg), "", *of_cold])
        columns = ["source", *["half-life"] * aged, "ndcg@20", "weight"]
        columns += ["cold ndcg@20", "cold weight"] if cold.weights else []
        note = f"NDCG@20 among items with training events, {warm.users:,} validation users."
        if cold.weights:
            note += f" Cold: among a hidden tenth of the items, {cold.users:,} users."
        self.console.table("Sources", columns, rows, note)


def _used(weights: dict[str, float], sources: tuple[str, ...]) -> dict[str, float]:
    """The weights of the sources that are kept, and of the prior."""
    return {name: weight for name, weight in weights.items() if name in (*sources, LOG_POPULARITY)}


def _half_life(one: "SourceSpec") -> str:
    """How fast histories age for a source, or popularity does; empty if not at all."""
    days = one.config.popularity_half_life if one.name == RECENT_POPULARITY else 0
    return f"{days:g} days" if days else f"{one.history_half_life:g} events" if one.history_half_life else ""


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _cold_digits(cold: "FittedWeights", name: str) -> list[str]:
    return [_digits(cold.alone.get(name)), _digits(cold.weights.get(name))] if cold.weights else []


def _figures(warm: "FittedWeights", cold: "FittedWeights") -> dict[str, Any]:
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
