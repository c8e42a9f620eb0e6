"""The command `posefront`. It stands outside the packages, whose names another `data`, `models` or `search` may have.

Such a folder or file on PYTHONPATH, or where a script lies, would otherwise be imported in the project's place.
"""

import sys
from pathlib import Path


def main() -> None:
    """Run the command with the packages beside this file, whatever else has their names."""
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from search.cli import main as run

    run()


if __name__ == "__main__":
    main()
