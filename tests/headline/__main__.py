"""The comparison behind the README's headline; what is finished is not done again.

    python -m tests.headline published --data hands|FOLDER --seeds 3 --device cuda --epochs 60 --out results.csv

trains the published design alone, with `--seed` for one seed only: processes may write to the same file.
"""

import argparse
from pathlib import Path

import torch


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.headline", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    words = parser.add_subparsers(dest="word", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data", required=True, help="'hands' for drawn ones, or a folder of FreiHAND or of faces")
    shared.add_argument("--count", type=int, default=1600, help="hands to draw")
    shared.add_argument("--seeds", type=int, default=3, help="runs: seeds 0 to so many")
    shared.add_argument("--seed", type=int, help="this seed alone")
    shared.add_argument("--out", type=Path, required=True, help="the csv file of finished runs")
    word = words.add_parser("published", parents=[shared])
    word.add_argument("--epochs", type=int, default=300, help="300 is final_epochs of studies/freihand.py")
    word.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()
    torch.set_num_threads(1)
    seeds = list(range(given.seeds)) if given.seed is None else [given.seed]
    if given.word == "published":
        from tests.headline import published

        published.run(given.data, given.count, seeds, given.epochs, given.device, given.out)


if __name__ == "__main__":
    main()
