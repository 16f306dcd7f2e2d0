"""Numbers and labels as text: the same in tables, report and figures."""


def number(value: float | None, sign: bool = False) -> str:
    """A number for people: four digits after the point, fewer where it is large; a dash for None."""
    if value is None:
        return "–"
    digits = 4 if abs(value) < 10 else 2 if abs(value) < 100 else 1
    return f"{value:{'+' if sign else ''}.{digits}f}"


def p_value(p: float | None) -> str:
    return "–" if p is None else f"{p:.3f}"


def label_of(metric: str, k: int | None) -> str:
    """`ndcg@10`, or `auc` for a metric without a cut."""
    return metric if k is None else f"{metric}@{k}"
