"""No function that only Linux has is needed: without them the steps do the same."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

# What other packages use, they choose by the system's name: they are loaded before.
LOADED = """
    import implicit.als, numba, numpy, polars, scipy.sparse.linalg, sklearn, threadpoolctl, torch, zstandard
"""

WITHOUT = """
    import os, signal, sys
    for name in ("sched_getaffinity", "sched_setaffinity", "kill", "killpg", "getuid", "geteuid", "getgid", "getpgid",
                 "getppid", "fork", "forkpty", "mkfifo", "uname", "sysconf", "statvfs", "chown", "setsid", "getloadavg",
                 "posix_fadvise", "memfd_create", "pread", "preadv", "splice", "nice"):
        if hasattr(os, name):
            delattr(os, name)
    for name in ("SIGPIPE", "SIGHUP", "SIGALRM", "SIGXFSZ", "SIGUSR1", "alarm", "setitimer", "pthread_sigmask"):
        if hasattr(signal, name):
            delattr(signal, name)
    for name in ("fcntl", "resource", "pwd", "grp", "termios"):
        sys.modules[name] = None
    def no_links(*_, **__):
        raise OSError(95, "Operation not supported")
    os.link = no_links
    __import__("shutil")._use_fd_functions = False
    opened = os.open
    def open_no_folder(path, flags, *rest, **options):  # as on Windows
        if isinstance(path, (str, os.PathLike)) and os.path.isdir(path) and flags == os.O_RDONLY:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *rest, **options)
"""

STEPS = """
    from recli.storage import atomic, exchange, locks
    locks.os.open = open_no_folder
    exchange._exchange = lambda one, other: False
    from recli.cli.app import run
    def recli(*arguments):
        try:
            run(list(arguments))
        except SystemExit as stop:
            assert not stop.code, (arguments, stop.code)
    recli("prepare", "log.csv", "--out", "run", "-q")
    recli("prepare", "log.csv", "--out", "run", "-q", "--seed", "1")
    for _ in range(2):
        recli("train-cf", "run", "-q")
    recli("recommend", "run", "-k", "2", "--out", "lists.csv")
    recli("recommend", "run", "-k", "2", "--save")
    recli("evaluate", "run", "--samples", "10", "-q")
"""


@pytest.mark.slow
def test_steps_work_without_the_functions_of_linux(tmp_path: Path) -> None:
    rows = [f"u{u},i{(u * 7 + n * 3) % 40},{n}" for u in range(40) for n in range(12)]
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(rows) + "\n")
    for name, prelude in (("other", WITHOUT), ("linux", "open_no_folder = __import__('os').open")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "log.csv").write_bytes((tmp_path / "log.csv").read_bytes())
        steps = STEPS if name == "other" else STEPS.replace("exchange._exchange =", "_ =")
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                textwrap.dedent(LOADED) + textwrap.dedent(prelude) + textwrap.dedent(steps),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    for file in ("run/interactions/manifest.json", "run/models/ials/manifest.json", "lists.csv"):
        assert (tmp_path / "other" / file).read_bytes() == (tmp_path / "linux" / file).read_bytes()
    assert list((tmp_path / "other").rglob(".*")) == []
