"""`recli train-cf`: train a collaborative-filtering algorithm on the interactions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recli.cli.console import Console, run_path
from recli.config import to_dict, validate
from recli.errors import UsageError
from recli.models.base import Algorithm, algorithms
from recli.reporting import Advance
from recli.steps.train_cf.config import CommonConfig, checked_name, given_options
from recli.steps.train_cf.config import TrainCfConfig as TrainCfConfig

if TYPE_CHECKING:
    from recli.data.interactions import Interactions
    from recli.models.base import Model
    from recli.training.fit import FitResult
    from recli.training.validation import Validator


def train_cf(config: CommonConfig, console: Console) -> None:
    """Train a collaborative-filtering model on the interactions: RUN/models/NAME.

    ials, als, bpr and lmf factorize; item-knn and user-knn go by neighbors; ease is linear, in closed form, and often
    the best where the catalogue is not too large (above 20,000 items it is sparse, an approximation); gf-cf, bspm and
    rp3beta need no training and suit large, sparse logs. sequential-rules goes by the order of events, and so does any
    other with --history-half-life: worth a try where what comes next is to be told. popularity is the baseline; bias
    predicts ratings. bpr's best learning rate, regularization and iterations differ up to tenfold from log to log, and
    with unfit ones it can fall below popularity: use --tune.

    Example: recli train-cf sample_data/run --algorithm ials --patience 3
    """
    from recli.compute.devices import choose_device
    from recli.storage import runs
    from recli.training import validation

    chosen = algorithms[config.algorithm]
    given = given_options(config, chosen)
    options = chosen.config(**given)
    validate(options)
    name = checked_name(chosen.name if config.name is None else config.name, chosen.name)
    if config.patience and not hasattr(options, "iterations"):
        raise UsageError(f"--patience: {chosen.name} has no iterations to stop")
    if config.storage_dtype != "float32" and not chosen.personal:
        raise UsageError(
            f"--storage-dtype {config.storage_dtype}: {chosen.name} has one number for each item, and stays as it is",
            "leave it out",
        )
    device, note = choose_device(config.device, chosen.name, chosen.gpu)
    run = run_path(config.run)
    interactions = runs.read_interactions(run)
    chooses = bool(config.patience or config.tune or config.refit)
    validator = (
        validation.validator_of(interactions, config.seed)
        if chooses or validation.has_validation(interactions)
        else None
    )
    if note:
        console.say(note)
    if chosen.name == "bpr" and config.threads > 1:
        console.warn("bpr with more than one thread: the same seed will not give the same model again")

    made = _Trainer(config, chosen, given, interactions, validator, device, console)
    summary: dict[str, Any] = {}
    trained = made.tuned(summary) if config.tune else made.once(options)
    if validator is not None:
        score = round(validator(made.as_stored(trained)), 6)
        summary["validation"] = {"ndcg@20": score, "users": int(validator.users.size)}
        console.say(
            f"validation ndcg@20 {score:.4f} ({validator.users.size:,} users){made.in_float32(trained)}"
        )
    if config.refit:
        trained = made.refitted(trained.config)
    if hasattr(trained.config, "iterations"):
        summary["iterations"] = trained.config.iterations
    splits = made.final_splits
    stored = to_dict(trained.config)
    path = runs.write_model(
        run,
        name,
        chosen.name,
        stored,
        trained.model,
        seed=config.seed,
        trained_on=splits,
        summary=summary,
        history_half_life=config.history_half_life,
        storage_dtype=config.storage_dtype,
    )
    console.say(f"wrote {path}")
    facts: dict[str, Any] = {
        "model": name,
        "algorithm": chosen.name,
        "options": stored,
        "trained_on": list(splits),
    }
    if config.history_half_life:
        facts["history_half_life"] = config.history_half_life
    if config.storage_dtype != "float32":
        facts["storage_dtype"] = config.storage_dtype
    console.result(run, facts | summary)


@dataclass(frozen=True)
class _Trainer:
    """Trains one algorithm as the command line says: once, by search, and on more rows at the end."""

    config: CommonConfig
    algorithm: Algorithm
    given: dict[str, Any]
    interactions: "Interactions"
    validator: "Validator | None"
    device: str
    console: Console

    @property
    def final_splits(self) -> tuple[str, ...]:
        return ("train", "validation") if self.config.refit else ("train",)

    def once(self, options: Any) -> "FitResult":
        """Train with these options on the training split, with a progress bar."""
        return self._train(options, ("train",), self.config.patience, f"training {self.algorithm.name}")

    def refitted(self, options: Any) -> "FitResult":
        """Train on train and validation, as many iterations as were found best."""
        return self._train(
            options, self.final_splits, 0, f"training {self.algorithm.name} on train + validation"
        )

    def _train(self, options: Any, splits: tuple[str, ...], patience: int, what: str) -> "FitResult":
        from recli.training import fit

        with self.console.progress(what, fit.total_steps(options), "iterations") as advance:
            return self._fit(options, splits, patience, advance, self.console.say)

    def _fit(
        self,
        options: Any,
        splits: tuple[str, ...],
        patience: int,
        advance: Advance,
        say: Callable[[str], None] = lambda text: None,
    ) -> "FitResult":
        from recli.training import fit

        return fit.train(
            self.algorithm,
            options,
            self.interactions,
            splits=splits,
            seed=self.config.seed,
            device=self.device,
            threads=self.config.threads,
            advance=advance,
            say=say,
            validate=self.validator,
            patience=patience,
            history_half_life=self.config.history_half_life,
        )

    def as_stored(self, trained: "FitResult") -> "Model":
        """The model as it will be read from disk."""
        from recli.models.wrappers import with_recency
        from recli.storage import quantization

        if self.config.storage_dtype == quantization.FLOAT32:
            return trained.model
        heights = (self.interactions.n_users, self.interactions.n_items)
        state = quantization.compact_state(trained.model.state(), heights, self.config.storage_dtype)
        model = self.algorithm.load(trained.config, quantization.expand_state(state))
        return with_recency(model, self.config.history_half_life)

    def in_float32(self, trained: "FitResult") -> str:
        """What the storage costs: the figure without it, for the line that has the figure with it."""
        if self.config.storage_dtype == "float32" or self.validator is None:
            return ""
        return f"; {self.validator(trained.model):.4f} in float32"

    def tuned(self, summary: dict[str, Any]) -> "FitResult":
        """Search the options, print and note the trials, and return the best model."""
        from recli.reporting import no_progress
        from recli.training import tuning

        assert self.validator is not None
        validator, best = self.validator, _Best()

        def measure(options: Any) -> float:
            trained = self._fit(options, ("train",), self.config.patience, no_progress)
            score = round(validator(trained.model), 6)
            best.keep(trained, score)
            return score

        what, trials = f"searching {self.algorithm.name}", self.config.tune
        with self.console.progress(what, trials, "trials") as advance:
            tried = tuning.search(
                self.algorithm.config,
                self.given,
                measure,
                trials=trials,
                seed=self.config.seed,
                advance=advance,
            )
        summary["trials"] = [{"options": t.options, "ndcg@20": t.score} for t in tried]
        self._print(tried)
        assert best.trained is not None
        return best.trained

    def _print(self, tried: "list[Any]") -> None:
        from recli.training import tuning

        names, winner = list(tried[0].options), tuning.best_of(tried)
        rows = [
            [
                f"{i + 1}{' best' if t is winner else ''}",
                *(_digits(t.options[n]) for n in names),
                f"{t.score:.4f}",
            ]
            for i, t in enumerate(tried)
        ]
        labels = [n.replace("_", "-") for n in names]
        note = "Trial 1 has the defaults. " if not self.given else "What was given stayed fixed. "
        self.console.table("Trials", ["trial", *labels, "ndcg@20"], rows, note + "NDCG@20 on validation.")


def _digits(value: Any) -> str:
    if value is None:
        return "by data"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass
class _Best:
    """The best model so far, so that it need not be trained again, and only it is held."""

    trained: "FitResult | None" = None
    score: float = -1.0

    def keep(self, trained: "FitResult", score: float) -> None:
        if score > self.score:
            self.trained, self.score = trained, score
