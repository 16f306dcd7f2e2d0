"""Every row of the tables of accuracy in this folder's README.md: metrics, seconds, peak memory, what is published.

    python tests/benchmarks/datasets.py DATA [NAME ...] [--rows ROW,...] [--runs FOLDER] [--keep] [--json FILE]

DATA holds the folders yelp2018 (train.csv.gz, test.csv.gz), amazon-beauty (interactions.csv.gz, items.csv.gz),
ml-latest-small (ratings.csv, movies.csv) and movietweetings-100k (ratings.dat, movies.dat). NAME: only these of
`DATASETS`. Prints Markdown as it goes; the commands work as they are printed where a data set's files are.

Test split, full ranking, seen items masked, all users with test items. A row that is below what is published says
`short`; figures are compared as they are printed, to four digits. Seconds and peak memory are those of training (the
process by itself), shared steps apart. Exit code 1 where a command failed. Compare times within a run only.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

RECALL, NDCG = "recall@20", "ndcg@20"
SLICES = ("warm in all", "cold in all", "cold items only")
WARM_LOSS = (
    0.05  # of the hybrid's NDCG@20 of warm items, to cold ones in the lists at the default --cold-boost
)


@dataclass(frozen=True)
class Published:
    """Recall@20 and NDCG@20 somebody else reported on the same split, and who."""

    recall: float
    ndcg: float
    source: str
    exact: bool = False  # there is one right answer: more is as wrong as less


@dataclass(frozen=True)
class Row:
    """A model: the name that the command gives it in the run, the command, and what to hold it against."""

    name: str
    train: str
    published: Published | None = None
    needs: tuple[str, ...] = ()  # shared steps, run once before the first row that needs them


@dataclass(frozen=True)
class DataSet:
    """A protocol: files, how they are split, and the rows in the order in which they are trained.

    A hybrid is the first: in a run without models it trains all its sources, so its seconds are those of the whole
    command, and its sources have their defaults.
    """

    folder: str
    title: str
    prepare: str
    rows: tuple[Row, ...]
    others: tuple[Published, ...] = ()  # published on this split without a row of ours
    hr: bool = False  # one test item a user: Recall@20 is called HR@20
    slices: dict[str, float | None] | None = None  # warm and cold items apart: a `lead` for each
    lead: float | None = None  # share by which the hybrid is to be ahead of the best other; None: not asked


def cf(algorithm: str, options: str = "", published: Published | None = None, name: str = "") -> Row:
    named = f" --name {name}" if name else ""
    given = f" {options}" if options else ""
    return Row(
        name or algorithm, f"train-cf {{run}} --algorithm {algorithm}{given}{named}", published=published
    )


EMBED = "embed {run}"
HYBRID = Row("hybrid", "train-hybrid {run}", needs=(EMBED,))
CONTENT = Row("content-knn", "train-hybrid {run} --algorithm content-knn", needs=(EMBED,))
CEASE = Row("cease", "train-hybrid {run} --algorithm cease", needs=(EMBED,))


def refitted(rows: Iterable[Row]) -> tuple[Row, ...]:
    """The same rows, trained on train and validation at last."""
    return tuple(replace(row, train=f"{row.train} --refit") for row in rows)


AMAZON = "prepare {data}/interactions.csv.gz --items {data}/items.csv.gz"
AMAZON_ROWS = (HYBRID, cf("popularity"), cf("als"), cf("ials"), cf("user-knn"), CONTENT, CEASE)
VALIDATED_YELP = (
    "prepare {data}/train.csv.gz --test-file {data}/test.csv.gz --validation-size 0.2 --out {run}"
)
BARS = "BARS leaderboard"
XSIMGCL = Published(0.0723, 0.0604, "XSimGCL (Yu et al. 2023), the best")

DATASETS: dict[str, DataSet] = {
    "yelp2018": DataSet(
        "yelp2018",
        "the given split, 31,668 x 38,048",
        "prepare {data}/train.csv.gz --test-file {data}/test.csv.gz --out {run}",
        (
            # There is no choice in it, so it tells whether reading, masking and metrics are right.
            cf("popularity", published=Published(0.0125, 0.0101, "counted on these files", exact=True)),
            cf("item-knn", published=Published(0.0639, 0.0531, f"ItemCF, {BARS}")),
            cf("user-knn"),
            cf("rp3beta"),
            cf("ease", published=Published(0.0657, 0.0552, f"EASE^R, {BARS}")),
            cf("ease", "--max-items 40000 --l2 300", Published(0.0657, 0.0552, f"EASE^R, {BARS}"), "ease-dense"),
            cf("als", "--factors 256", Published(0.0671, 0.0547, "implicit 0.7.3, 256 factors, lightly tuned")),
            cf("ials"),
            cf("gf-cf", published=Published(0.0697, 0.0571, "GF-CF (Shen et al. 2021)")),
            cf("gf-cf", "--user-power 0.5 --item-power 0.5", Published(0.0697, 0.0571, "GF-CF (Shen et al. 2021)"),
               "gf-cf-paper"),
            cf("bspm", published=Published(0.072, 0.0593, "BSPM-EM (Choi et al. 2023)")),
            cf("bspm", "--user-power 0.5 --item-power 0.5", Published(0.072, 0.0593, "BSPM-EM (Choi et al. 2023)"),
               "bspm-paper"),
        ),
        others=(
            Published(0.0576, 0.0468, f"MF-BPR, {BARS}"),
            Published(0.0646, 0.0541, f"SLIM, {BARS}"),
            Published(0.0653, 0.0532, f"LightGCN, {BARS}"),
            Published(0.0683, 0.0561, "UltraGCN (Mao et al. 2021)"),
            Published(0.0701, 0.0575, "SimpleX (Mao et al. 2021)"),
            Published(0.0721, 0.0601, "SimGCL (Yu et al. 2022)"),
        ),
    ),
    "yelp2018-fusion": DataSet(
        "yelp2018",
        # With a tenth, users had 3 validation items to find where they have 10 in the test: weights differed.
        "the given split, 31,668 x 38,048; a fifth of the training rows, as the test is of all, for validation, "
        "then trained on",
        VALIDATED_YELP,
        refitted([
            Row("hybrid", "train-hybrid {run}", XSIMGCL),
        ]),
    ),
    "yelp2018-ordered": DataSet(
        "yelp2018",
        # What is late in a user's rows of train.csv.gz is what the test has: the rows are in the order of the events.
        "the given split, 31,668 x 38,048; the rows taken as ordered, each user's last fifth for validation, "
        "then trained on",
        f"{VALIDATED_YELP} --in-order --split temporal-user",
        refitted([
            Row("hybrid", "train-hybrid {run}", XSIMGCL),
            cf("ials", "--history-half-life 8", name="ials-recent"),
            cf("bspm", "--history-half-life 8", name="bspm-recent"),
            cf("sequential-rules"),
        ]),
        lead=0.0,
    ),
    "amazon-beauty": DataSet(
        "amazon-beauty",
        "random 80/10/10, 22,363 x 12,101",
        f"{AMAZON} --out {{run}}",
        AMAZON_ROWS,
        lead=0.15,
    ),
    "amazon-beauty-last": DataSet(
        "amazon-beauty",
        "leave-last-out, 22,363 x 12,101; the last event but one is validation, then trained on",
        f"{AMAZON} --split leave-last-out --out {{run}}",
        refitted([
            replace(HYBRID, published=Published(0.1373, 0.0703, "BSARec (Shin et al. 2024), without refit")),
            cf("popularity", published=Published(0.0217, 0.0084, "popularity")),
            cf("sequential-rules"),
            cf("ials", "--history-half-life 1", name="ials-recent"),
        ]),
        others=(
            Published(0.1298, 0.0663, "ICSRec (2024)"),
            Published(0.1228, 0.0536, "DuoRec (2022)"),
            Published(0.1058, 0.0483, "ICLRec (2022)"),
            Published(0.0994, 0.0414, "S3-Rec (Zhou et al. 2020)"),
            Published(0.0902, 0.0394, "SASRec (Kang, McAuley 2018)"),
        ),
        hr=True,
        lead=0.0,
    ),
    "amazon-beauty-cold": DataSet(
        "amazon-beauty",
        "random 80/10/10 and 20% of the items without training events, 22,363 x 12,101",
        f"{AMAZON} --cold-items 0.2 --out {{run}}",
        AMAZON_ROWS,
        slices={"warm in all": 0.15, "cold in all": None, "cold items only": 0.0},
        lead=0.0,
    ),
    "ml-latest-small": DataSet(
        "ml-latest-small",
        "random 80/10/10, 610 x 9,742",
        "prepare {data}/ratings.csv --items {data}/movies.csv --out {run}",
        (HYBRID, cf("popularity"), cf("als"), cf("ials"), cf("ease")),
        lead=0.0,
    ),
    "movietweetings-100k": DataSet(
        "movietweetings-100k",
        "global temporal 80/10/10, 16,554 x 10,506; validation trained on at last",
        "prepare {data}/ratings.dat --no-header --columns user_id,movie_id,rating,timestamp --items {data}/movies.dat"
        " --items-no-header --items-columns movie_id,title,genres --split temporal --out {run}",
        refitted([
            HYBRID, cf("popularity"), cf("popularity", "--tune 40", name="popularity-recent"), cf("als"), CONTENT,
        ]),
        lead=0.0,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """What a command took, and what it printed on stdout."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    printed: str = ""


class Failed(Exception):
    """A command of recli that ended with another exit code than 0."""


def measured(command: list[str]) -> Measured:
    """Run `recli`; figures of that process alone. Raises `Failed`.

    Linux starts a process's peak at its parent's size: this script imports nothing large, so that it stays below.
    """
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "recli", *command], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as printed:
        summary = printed.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise Failed(f"exit code {process.returncode}: recli {' '.join(command)}")
    cpu = usage.ru_utime + usage.ru_stime
    return Measured(time.monotonic() - started, cpu, usage.ru_maxrss / 1024, summary)


def shown(command: str) -> str:
    """A command as a user types it in the folder of the data set."""
    return "recli " + command.replace("{data}/", "").replace("{run}", "run")


@dataclass(frozen=True)
class Run:
    """A run's folder, and beside it a log of the commands that made it: what `--keep` goes by."""

    path: Path
    data: Path

    @property
    def log(self) -> Path:
        return self.path.with_name(f"{self.path.name}.jsonl")

    def start(self, keep: bool) -> None:
        if not (keep and self.path.exists()):
            shutil.rmtree(self.path, ignore_errors=True)
            self.log.unlink(missing_ok=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def done(self) -> dict[str, Measured]:
        """The commands that are in the run already, with what they took then."""
        if not self.log.exists():
            return {}
        lines = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
        return {line.pop("command"): Measured(**line) for line in lines}

    def once(self, command: str) -> Measured:
        """Run a command that makes a part, unless the run has it. Raises `Failed`."""
        if (found := self.done().get(command)) is not None:
            return found
        if (
            command.startswith("train-hybrid")
            and not any(option in command for option in ("--algorithm", "--sources"))
            and (self.path / "models").exists()
        ):
            raise Failed(
                f"{shown(command)} would take models of the run {self.path.name}: run without --keep"
            )
        made = replace(self.measure(command), printed="")
        with self.log.open("a", encoding="utf-8") as log:
            log.write(json.dumps({"command": command, **asdict(made)}) + "\n")
        return made

    def measure(self, command: str) -> Measured:
        return measured([part.format(data=self.data, run=self.path) for part in command.split()])

    def evaluate(self, names: Iterable[str], options: str = "") -> dict[str, Any]:
        """What `evaluate --json` says of these models."""
        models = ",".join(names)
        command = f"evaluate {{run}} --models {models} --metrics {RECALL},{NDCG} {options} --json --quiet"
        summary: dict[str, Any] = json.loads(self.measure(command).printed)
        return summary


def verdict(recall: float, ndcg: float, published: Published | None) -> str:
    """`reached`, `short` or, of exact ones, `equal` or `differs`; with what is missing. Compared to four digits."""
    if published is None:
        return ""
    pairs = (("recall", recall, published.recall), ("ndcg", ndcg, published.ndcg))
    gaps = {name: round(ours, 4) - round(theirs, 4) for name, ours, theirs in pairs}
    missed = {name: gap for name, gap in gaps.items() if (abs(gap) if published.exact else -gap) > 5e-5}
    if not missed:
        return "equal" if published.exact else "reached"
    summary = ", ".join(f"{name} {gap:+.4f}" for name, gap in missed.items())
    return f"**{'differs' if published.exact else 'short'}**: {summary}"


@dataclass(frozen=True)
class Benchmark:
    """Runs the rows of one data set, and prints them; `out`: where lines of JSON go."""

    name: str
    dataset: DataSet
    run: Run
    rows: tuple[Row, ...]
    out: IO[str] | None

    def note(self, **facts: Any) -> None:
        if self.out is not None:
            self.out.write(json.dumps({"data": self.name, **facts}) + "\n")
            self.out.flush()

    def __call__(self) -> bool:
        """Whether all commands succeeded."""
        print(f"\n### {self.name}: {self.dataset.title}\n")
        self.shared()
        found = {row.name: figures for row in self.rows if (figures := self.row(row)) is not None}
        for other in self.dataset.others:
            print(f"| {other.source} | | | {_pair(other)} | | | | |")
        if self.dataset.slices is not None:
            self.slices(found, self.dataset.slices)
        if self.dataset.lead is not None and "hybrid" in found and len(found) > 1:
            self.lead(list(found), self.dataset.lead)
        return len(found) == len(self.rows)

    def shared(self) -> None:
        """Run the steps that rows have in common. Raises `Failed`: nothing goes without."""
        print("| shared step | seconds | peak MB |\n|---|---:|---:|", flush=True)
        needed = (step for row in self.rows for step in row.needs)
        for step in dict.fromkeys([self.dataset.prepare, *needed]):
            took = self.run.once(step)
            print(f"| `{shown(step)}` | {took.seconds:.1f} | {took.peak_mb:.0f} |", flush=True)
            self.note(step=shown(step), **_times(took))
        recall = "HR@20" if self.dataset.hr else "Recall@20"
        head = ["row", recall, "NDCG@20", "published", "", "command", "seconds", "peak MB"]
        print(f"\n| {' | '.join(head)} |\n|---|---:|---:|---|---|---|---:|---:|", flush=True)

    def row(self, row: Row) -> dict[str, Any] | None:
        """Train and evaluate; the figures as `evaluate --json` has them, None where a command failed."""
        try:
            took = self.run.once(row.train)
            summary = self.run.evaluate([row.name], "--samples 0")
        except Failed as failed:
            print(f"| {row.name} | | | | **failed** | `{shown(row.train)}` | | |", flush=True)
            print(failed, file=sys.stderr)
            self.note(row=row.name, command=shown(row.train), failed=str(failed))
            return None
        recall, ndcg = (summary["models"][row.name][metric]["value"] for metric in (RECALL, NDCG))
        said = verdict(recall, ndcg, row.published)
        against = f"{_pair(row.published)} {row.published.source}" if row.published else ""
        cells = [row.name, f"{recall:.4f}", f"{ndcg:.4f}", against, said, f"`{shown(row.train)}`"]
        print(f"| {' | '.join(cells)} | {took.seconds:.1f} | {took.peak_mb:.0f} |", flush=True)
        self.note(
            row=row.name,
            command=shown(row.train),
            **{RECALL: recall, NDCG: ndcg},
            users=summary["models"][row.name][NDCG]["users"],
            slices=[_slice(s) for s in summary["slices"] if s["slice"] in SLICES],
            published=asdict(row.published) if row.published else None,
            verdict=said,
            **_times(took),
        )
        return summary

    def slices(self, found: dict[str, dict[str, Any]], asked: dict[str, float | None]) -> None:
        """NDCG@20 of warm and of cold items, which one figure would mix; and what the warm ones lose to the cold."""
        print(f"\n| NDCG@20 | {' | '.join(asked)} |\n|---|{'---:|' * len(asked)}")
        table = {name: _by_slice(summary) for name, summary in found.items()}
        for name, values in table.items():
            print(f"| {name} | {' | '.join(_digits(values.get(part)) for part in asked)} |")
        if "hybrid" not in table:
            return
        print()
        for part, lead in asked.items() if len(table) > 1 else ():
            best = max((n for n in table if n != "hybrid"), key=lambda n: table[n].get(part) or 0.0)
            ours, theirs = (table[n].get(part) or 0.0 for n in ("hybrid", best))
            if not theirs:
                continue
            ahead = ours / theirs - 1
            said = f", **short** of {lead:+.0%}" if lead is not None and ahead < lead else ""
            print(f"- {part}: hybrid {ours:.4f}, {best}, the best other, {theirs:.4f}: {ahead:+.1%}{said}")
            self.note(slice=part, hybrid=ours, best_other=best, theirs=theirs, ahead=ahead, asked=lead)
        without = _by_slice(self.run.evaluate(["hybrid"], "--samples 0 --candidates warm"))[SLICES[0]]
        loss = 1 - table["hybrid"][SLICES[0]] / without
        said = f", **short**: more than {WARM_LOSS:.0%}" if loss > WARM_LOSS else ""
        print(f"- warm items without cold ones in the lists: {without:.4f}, so they lose {loss:.1%}{said}")
        self.note(warm_alone=without, warm_loss=loss, asked=WARM_LOSS)

    def lead(self, names: list[str], asked: float) -> None:
        """The hybrid against the best other by NDCG@20, with the paired bootstrap interval of the difference."""
        try:
            summary = self.run.evaluate(names, "--compare hybrid")
        except Failed as failed:
            print(f"\n- hybrid against the others: **failed** ({failed})")
            return
        against = [c for c in summary["comparisons"] if c["metric"] == "ndcg"]
        best = max(against, key=lambda c: c["difference"])
        ours = summary["models"]["hybrid"][NDCG]["value"]
        theirs, difference = (
            ours + best["difference"],
            -best["difference"],
        )  # those are the other's minus ours
        low, high = -best["high"], -best["low"]
        ahead = difference / theirs
        missed = ahead < asked or low <= 0
        said = f" **short** of {asked:+.0%} with an interval above 0" if missed else ""
        print(
            f"\n- hybrid - {best['model']}, the best other: ndcg@20 {difference:+.4f} [{low:+.4f}, {high:+.4f}], "
            f"{ahead:+.1%}{said}",
            flush=True,
        )
        self.note(
            best_other=best["model"], difference=difference, low=low, high=high, ahead=ahead, asked=asked,
            comparisons=summary["comparisons"],
        )  # fmt: skip


def _times(took: Measured) -> dict[str, float]:
    return {name: round(value, 2) for name, value in asdict(took).items() if name != "printed"}


def _slice(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("metric", "slice", "value", "users")}


def _by_slice(summary: dict[str, Any]) -> dict[str, float]:
    """NDCG@20 by slice of the one model that was evaluated."""
    return {s["slice"]: s["value"] for s in summary["slices"] if s["metric"] == "ndcg"}


def _pair(figures: Published) -> str:
    return f"{figures.recall:.4f} / {figures.ndcg:.4f}"


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def chosen_rows(dataset: DataSet, wanted: str | None) -> tuple[Row, ...]:
    """The rows of `--rows`, in the data set's order; all where it is not given."""
    return tuple(row for row in dataset.rows if wanted is None or row.name in wanted.split(","))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(DATASETS)}")
    parser.add_argument("--rows", metavar="ROW,...", help="only these rows")
    parser.add_argument("--runs", type=Path, default=Path("benchmark-runs"), help="where runs are written")
    parser.add_argument("--keep", action="store_true", help="go on with the runs of --runs: no command twice")
    parser.add_argument("--json", type=Path, metavar="FILE", help="add a line of JSON to it for each result")
    given = parser.parse_args()
    known = {row.name for dataset in DATASETS.values() for row in dataset.rows}
    if unknown := [name for name in given.names if name not in DATASETS]:
        parser.error(f"no such data set: {', '.join(unknown)}; there are {', '.join(DATASETS)}")
    if given.rows and (unknown := sorted(set(given.rows.split(",")) - known)):
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(sorted(known))}")

    out = given.json.open("a", encoding="utf-8") if given.json else None
    whole = True
    for name in given.names or DATASETS:
        dataset = DATASETS[name]
        rows = chosen_rows(dataset, given.rows)
        if not rows:
            continue
        run = Run((given.runs / name).resolve(), (given.data / dataset.folder).resolve())
        run.start(given.keep)
        try:
            whole &= Benchmark(name, dataset, run, rows, out)()
        except Failed as failed:
            print(f"\n**failed**: {failed}", flush=True)
            whole = False
    sys.exit(0 if whole else 1)


if __name__ == "__main__":
    main()
