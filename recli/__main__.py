"""The entry point: `recli` and `python -m recli`."""

import io
import os
import signal
import sys
import warnings
from types import FrameType

from recli.cli.app import run
from recli.cli.failures import describe_os_error
from recli.cli.lazy_imports import load_when_used


def _terminated(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)  # as an exception, so that half-written parts are removed on the way out


def _use_utf8() -> None:
    """Set stdin and stdout to UTF-8, the encoding of paths and ids in files, whatever the locale is."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")


def _open_closed_streams() -> None:
    """Reopen closed standard streams (`<&-`, `>&-`), so that no other file gets their descriptors.

    Python sets such a stream to None. Reading or writing it now raises an OSError; text written to stderr is lost.
    """
    for number, name, flags in (
        (0, "stdin", os.O_WRONLY),
        (1, "stdout", os.O_RDONLY),
        (2, "stderr", os.O_WRONLY),
    ):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8"))  # noqa: PTH123, SIM115


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGTERM, _terminated)
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"  # without the line of code
    for name in ("numpy", "polars"):
        load_when_used(name)
    _open_closed_streams()
    _use_utf8()
    stdout = _identity(1)
    try:
        run(sys.argv[1:])
    except SystemExit:
        if (
            _identity(1) != stdout
        ):  # rich turns a closed pipe (--help | head -1) to /dev/null and exits with 1
            sys.exit(0)
        raise
    except OSError as error:  # from --help and --version; commands say theirs themselves
        what = describe_os_error(error)
        if what is None:
            raise
        sys.stderr.write(f"error: {what}\n")
        sys.exit(1)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: Ctrl-C has nothing left to stop
        _drop_unwritten()


def _identity(number: int) -> tuple[int, int]:
    """Device and inode of an open file descriptor."""
    status = os.fstat(number)
    return status.st_dev, status.st_ino


def _drop_unwritten() -> None:
    """Discard the unwritten rest of stdout, whose error was reported: Python would try again and exit with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
