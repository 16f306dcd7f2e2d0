"""Lazy import of numpy and polars, which `--help` and usage errors do not need: loaded at first use."""

import importlib
import sys
import threading
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_LOADING = threading.RLock()


class _Later(ModuleType):
    """Placeholder for a module that is not loaded yet; the first attribute access loads it.

    importlib's LazyLoader will not do: in Python 3.11 the import statement itself uses the module.
    """

    def __getattr__(self, name: str) -> Any:
        with _LOADING:
            real = self.__dict__.get("_real")
            if real is None:
                del sys.modules[self.__name__]
                real = importlib.import_module(self.__name__)
                self.__dict__.update({**vars(real), "_real": real})
        return getattr(real, name)


def load_when_used(name: str) -> None:
    """Make `import NAME` load the module at its first use; does nothing if it is loaded or not installed."""
    spec = None if name in sys.modules else find_spec(name)
    if spec is not None:
        module = _Later(name)
        module.__spec__ = spec
        sys.modules[name] = module
