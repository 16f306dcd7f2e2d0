"""Files and folders that are written whole or not at all.

New content is written to a hidden sibling and renamed into place: a killed command leaves the old content.
"""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from recli import schema
from recli.data.files import disk_errors as disk_errors
from recli.data.files import sha256_file as sha256_file

MANIFEST = "manifest.json"
_CHUNK = 1 << 22


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """A new folder for the block, that goes with it, also where Ctrl-C comes just then."""
    try:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        yield path
    finally:
        with defer_sigint():
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def scratch(run: Path) -> Iterator[Path]:
    """A folder for intermediate files, inside the run: `/tmp` is often small, or held in memory. Removed after it."""
    # named as `remove_abandoned` knows them
    path = Path(run) / f".{schema.INTERACTIONS}.scratch.{os.getpid()}.tmp"
    was_there = path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path.parent / schema.INTERACTIONS)
    try:
        with temporary_folder(path):
            yield path
    finally:
        if not was_there and not any(path.parent.iterdir()):
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
    with temporary_folder(path.with_name(f".{path.name}.{os.getpid()}.tmp")) as folder:
        with disk_errors(path):
            yield folder / path.name
        sync(folder)
        (folder / path.name).replace(path)


def swap_into_place(temporary: Path, path: Path) -> None:
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.rename(old)
    temporary.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def recover(path: Path) -> None:
    """Undo the first of the two renames where a kill came between them."""
    old = path.with_name(f".{path.name}.old")
    if not path.exists() and (old / MANIFEST).exists():
        old.rename(path)


def remove_abandoned(path: Path) -> None:
    """Remove what killed writers of this part left behind."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        pid = left.name.removesuffix(".tmp").rpartition(".")[2]
        if pid.isdigit() and int(pid) != os.getpid() and not _alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sync(directory: Path) -> None:
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


@contextmanager
def defer_sigint() -> Iterator[None]:
    """Hold Ctrl-C back for the block, and let it through after it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt
