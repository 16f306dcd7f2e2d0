"""Files and folders that are written whole or not at all.

New content is written to a hidden sibling and renamed into place: a killed command leaves the old content.
"""

import glob
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from recli import schema
from recli.data.files import disk_errors as disk_errors
from recli.data.files import sha256_file as sha256_file
from recli.storage import locks
from recli.storage.exchange import MANIFEST as MANIFEST
from recli.storage.exchange import remove
from recli.storage.signals import defer_signals

_CHUNK = 1 << 22


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """A new hidden folder beside `path` for the block, that goes with it, also where Ctrl-C comes just then.

    It is locked meanwhile, so that `remove_abandoned` of other processes leaves it alone.
    """
    made: tuple[Path, int] | None = None
    try:
        with defer_signals():
            made = _new_folder(path)
        yield made[0]
    finally:
        if made is not None:
            with defer_signals():
                remove(made[0])
                locks.release_folder(made[1])


def _new_folder(path: Path) -> tuple[Path, int]:
    """A new folder with a random name, and the descriptor of its lock."""
    while True:
        folder = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
        try:
            folder.mkdir(parents=True)  # the run may have been removed meanwhile
        except FileExistsError:
            continue
        descriptor = locks.hold_folder(folder)
        if descriptor is not None:
            return folder, descriptor


@contextmanager
def scratch(run: Path) -> Iterator[Path]:
    """A folder for intermediate files, inside the run: `/tmp` is often small, or held in memory. Removed after it."""
    path = Path(run) / f"{schema.INTERACTIONS}.scratch"
    was_there = path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path.parent / schema.INTERACTIONS)
    try:
        with temporary_folder(path) as folder, disk_errors(folder):
            yield folder
    finally:
        if not was_there:
            with suppress(OSError):  # not empty
                path.parent.rmdir()


@contextmanager
def write_file(path: Path) -> Iterator[Path]:
    """Write a single file whole or not at all: yields a path in an empty hidden folder beside it.

    What is written there is renamed to `path` if the block ends well; the folder goes with all else in it.
    A link stays a link. A device or a pipe is never replaced: it is written to.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        with TemporaryDirectory(prefix="recli-") as folder:
            yield Path(folder) / path.name
            with (Path(folder) / path.name).open("rb") as source, path.open("wb") as target:
                shutil.copyfileobj(source, target, _CHUNK)
        return
    if path.is_symlink():
        path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path)
    with temporary_folder(path) as hidden:
        with disk_errors(path):
            yield hidden / path.name
            sync(hidden)
        (hidden / path.name).replace(path)


def remove_abandoned(path: Path) -> None:
    """Remove what killed writers of this part or file left behind."""
    _remove_unused(path.parent.glob(f".{glob.escape(path.name)}.*.tmp"))


def remove_all_abandoned(folder: Path) -> None:
    """Remove what killed writers of anything in this folder left behind."""
    _remove_unused(folder.glob(".*.tmp"))


def _remove_unused(folders: Iterable[Path]) -> None:
    for left in folders:
        with locks.abandoned(left) as unused:
            if unused:
                remove(left)


def sync(directory: Path) -> None:
    """Have the disk keep the files of a folder, whatever happens to the power."""
    mode = "r+b" if os.name == "nt" else "rb"  # Windows flushes only what is open for writing
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            with path.open(mode) as file:
                os.fsync(file.fileno())
