"""Errors that the user can fix, each with its exit code."""


class RecliError(Exception):
    """An error the user can fix: `what` is wrong and where, and `fix`, what to type next."""

    code = 1

    def __init__(self, what: str, fix: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return self.what if self.fix is None else f"{self.what}\n{self.fix}"


class UsageError(RecliError):
    """Options that are unknown, out of bounds or do not go together."""

    code = 2


class ConfigError(UsageError):
    """A value of a config is out of its bounds, or not among its choices."""


class InvalidDataError(RecliError):
    """Input data that cannot be used, or too many bad rows in it."""

    code = 3


class QualityGateError(RecliError):
    """A metric is below the threshold of its quality gate."""

    code = 4


class DeviceError(RecliError):
    """The requested device, engine or optional package is missing."""

    code = 5


INTERRUPTED = 130
