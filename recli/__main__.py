"""The entry point: `recli` and `python -m recli`."""

import signal
import sys
from types import FrameType

from recli.cli import app


def _terminated(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)  # as an exception, so that half-written parts are removed on the way out


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGTERM, _terminated)
    app()


if __name__ == "__main__":
    main()
