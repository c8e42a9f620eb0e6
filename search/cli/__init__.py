"""The command line, a file for each group of commands."""


def main() -> None:
    """The command `posefront`."""
    from search.cli.app import run  # a wrong word is answered before anything else is imported

    run()
