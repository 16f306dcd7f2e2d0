"""Tables of an evaluation as text for stdout: plain, Markdown, LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TextTable:
    """A table of text; its first column is to the left, the others (numbers) to the right."""

    title: str
    columns: list[str]
    rows: list[list[str]]

    def one_line(self) -> TextTable:
        """The same with each head in one line: `ndcg@10`."""
        return TextTable(self.title, [head.replace("\n", "") for head in self.columns], self.rows)


def plain(table: TextTable) -> str:
    """Columns that are aligned by spaces."""
    lines = [table.columns, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    return "\n".join(
        [
            table.title,
            *(
                "  ".join(
                    cell.ljust(width) if i == 0 else cell.rjust(width)
                    for i, (cell, width) in enumerate(zip(line, widths, strict=True))
                ).rstrip()
                for line in lines
            ),
        ]
    )


def markdown(table: TextTable) -> str:
    """A table of Markdown, as GitHub and pandoc read it."""

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    rule = line([":--", *("--:" for _ in table.columns[1:])])
    return "\n".join([f"**{table.title}**", "", line(table.columns), rule, *map(line, table.rows)])


_LATEX = str.maketrans({c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "–": "--",
})  # fmt: skip


def latex(table: TextTable) -> str:
    """A tabular with the rules of the package booktabs."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join(cell.translate(_LATEX) for cell in cells) + r" \\"

    return "\n".join(
        [
            f"% {table.title}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
            r"\toprule",
            line(table.columns),
            r"\midrule",
            *map(line, table.rows),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


FORMATS: dict[str, Callable[[TextTable], str]] = {"table": plain, "markdown": markdown, "latex": latex}
