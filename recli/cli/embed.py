"""`recli embed` on the terminal."""

from dataclasses import replace

from recli.cli.console import Console, run_path
from recli.steps.embed.config import EmbedConfig as EmbedConfig


def embed(config: EmbedConfig, console: Console) -> None:
    """Turn the items' texts into vectors with a language model: RUN/embeddings/NAME.

    Identical texts are encoded once; items without text get a zero vector. Raw vectors are kept in RUN/cache, so
    that an interrupted run resumes and later only new or changed texts are encoded. What is stored is centered, with
    length 1. With --vectors, vectors that you made yourself are taken instead.

    Example: recli embed sample_data/run --model tfidf
    """
    from recli.steps.embed import step

    embedded = step.embed(replace(config, run=str(run_path(config.run))), console)
    summary = embedded.summary
    n_unknown = summary["zero_vectors"] - summary.get("without_text", summary["zero_vectors"])
    if n_unknown:
        console.say(
            f"{n_unknown:,} texts have no word that the encoder knows: their items get a zero vector too"
        )
    how = [f"{summary['dimensions']} dimensions", *(summary[k] for k in ("pooling", "dtype") if k in summary)]
    how.append("centered on the training items" if config.center else "not centered")
    console.say(f"{embedded.path}: {summary['items']:,} vectors, {', '.join(how)}")
    counts = {"encoded": embedded.n_encoded, "reused": embedded.n_reused}
    console.result(embedded.run, {"embeddings": embedded.name, **summary, **counts})
