"""A registry of named things: what a decorator fills, `--help` lists and the conformance tests walk."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from recli.errors import UsageError

T = TypeVar("T")


class Registry(Generic[T]):
    """Things of one kind by name. `package` is imported, with all its modules, on the first look-up."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._things: dict[str, T] = {}
        self._loaded = False

    def add(self, name: str, thing: T) -> T:
        if name in self._things:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._things[name] = thing
        return thing

    def _load(self) -> dict[str, T]:
        if not self._loaded:
            self._loaded = True
            package = importlib.import_module(self._package)
            for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
                importlib.import_module(f"{self._package}.{module}")
        return self._things

    def names(self, keep: Callable[[T], bool] = lambda _: True) -> tuple[str, ...]:
        return tuple(sorted(name for name, thing in self._load().items() if keep(thing)))

    def __iter__(self) -> Iterator[T]:
        return iter(self._load().values())

    def __getitem__(self, name: str) -> T:
        things = self._load()
        if name not in things:
            raise UsageError(f"unknown {self.kind} {name!r}; known: {', '.join(self.names())}")
        return things[name]
