"""Registries of named objects (algorithms, encoders, metrics, ...), filled by decorators."""

import importlib
import pkgutil
import warnings
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from recli.errors import unknown_name

T = TypeVar("T")
_BROKEN = (  # what a module raises that does not fit this Python, this version of recli, or this computer
    ImportError, AttributeError, NameError, SyntaxError, TypeError, ValueError, LookupError, RuntimeError, OSError,
)  # fmt: skip


class DuplicateNameError(ValueError):
    """A name is registered twice."""


class Registry(Generic[T]):
    """Objects of one kind by name, registered by decorators in modules that are imported on the first look-up.

    These are all modules of `package` and of its sub-packages, then the entry points of the group `entry_points`, by
    which installed packages add their own. An entry point that cannot be loaded, or takes a name that is taken, is
    skipped with a warning.
    """

    def __init__(self, kind: str, package: str, entry_points: str) -> None:
        self.kind = kind
        self._package = package
        self._entry_points = entry_points
        self._things: dict[str, T] = {}
        self._loaded = False

    def add(self, name: str, thing: T) -> T:
        if name in self._things:
            raise DuplicateNameError(f"{self.kind} {name!r} is registered twice")
        self._things[name] = thing
        return thing

    def _load(self) -> dict[str, T]:
        if not self._loaded:
            self._loaded = True
            package = importlib.import_module(self._package)
            for module in pkgutil.walk_packages(package.__path__, f"{self._package}."):
                importlib.import_module(module.name)
            self._load_entry_points()
        return self._things

    def _load_entry_points(self) -> None:
        from importlib.metadata import entry_points

        for point in sorted(entry_points(group=self._entry_points), key=lambda point: point.name):
            try:
                point.load()
            except _BROKEN as error:
                warnings.warn(
                    f"skipped the {self.kind} {point.name!r} ({point.value}) of an installed package: {error}",
                    stacklevel=2,
                )

    def names(self, keep: Callable[[T], bool] = lambda _: True) -> tuple[str, ...]:
        return tuple(sorted(name for name, thing in self._load().items() if keep(thing)))

    def __iter__(self) -> Iterator[T]:
        return iter(self._load().values())

    def __getitem__(self, name: str) -> T:
        things = self._load()
        if name not in things:
            raise unknown_name(f"unknown {self.kind}", name, self.names())
        return things[name]
