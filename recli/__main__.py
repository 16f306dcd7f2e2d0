"""The entry point: `recli` and `python -m recli`."""

from recli.cli import app


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
