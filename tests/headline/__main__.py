"""The comparison behind the README's headline; what is finished is not done again.

    python -m tests.headline compare --data hands FOLDER --out results.csv --work folder
    python -m tests.headline published --data hands FOLDER --seeds 3 --device cuda --out results.csv
    python -m tests.headline table results.csv

`compare` searches and trains in full with posefront and with stock Ray Tune, both at the same time; `published` trains
the published design; both with `--seed` for one seed only. Several processes may write to the same file of results.

On a GPU, everything side by side (FACES: a folder):

    for data in hands FACES; do for seed in 0 1 2; do
        python -m tests.headline published --data $data --seed $seed --device cuda --epochs 60 --out results.csv &
    done; done
    python -m tests.headline compare --data hands --seed 0 --study tests/headline/wide_hands.py --seconds 100 \\
        --workers 10 --gpus-per-trial 0.1 --loaders 1 --final-epochs 60 --work work --out results.csv; wait
"""

import argparse
import sys
from pathlib import Path

import torch


def main() -> None:
    if sys.argv[1:2] == ["stock"]:
        from tests.headline import stock

        stock.main(sys.argv[2:])
        return
    given = options().parse_args()
    torch.set_num_threads(1)
    if given.word == "table":
        from rich.console import Console

        from tests.headline import results, table

        runs = [run for file in given.files for run in results.read(file)]
        if given.markdown:
            print(table.markdown(runs))
        else:
            table.show(runs, Console(width=200))
        return
    seeds = list(range(given.seeds)) if given.seed is None else [given.seed]
    if given.word == "published":
        from tests.headline import published

        for data in given.data:
            published.run(data, given.count, seeds, given.epochs, given.device, given.out)
    else:
        from tests.headline import compare

        names = ("seconds", "epochs", "final_epochs", "workers", "gpus", "loaders")
        budget = compare.Budget(**{name: getattr(given, name) for name in names})
        contests = [
            compare.Contest(data, given.count, seed, budget, given.work, given.study)
            for seed in seeds
            for data in given.data
        ]
        compare.run(contests, given.out, given.only)


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.headline", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    words = parser.add_subparsers(dest="word", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data", nargs="+", required=True, help="'hands', drawn ones, or a folder of hands or faces")
    shared.add_argument("--count", type=int, default=1600, help="hands to draw")
    shared.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    shared.add_argument("--seed", type=int, help="this one alone")
    shared.add_argument("--out", type=Path, required=True, help="the csv file of finished runs")
    word = words.add_parser("published", parents=[shared])
    word.add_argument("--epochs", type=int, default=300, help="300 is final_epochs of studies/freihand.py")
    word.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    word = words.add_parser("compare", parents=[shared])
    word.add_argument("--seconds", type=float, default=300, help="of each search")
    word.add_argument("--epochs", type=int, default=0, help="of a trial; 0 for the study's own")
    word.add_argument("--final-epochs", type=int, default=60, help="of the last training; 0 for the study's own")
    word.add_argument("--workers", type=int, default=1, help="trials side by side, of each method")
    word.add_argument("--gpus-per-trial", type=float, default=0.0, dest="gpus", help="0 trains on the CPU")
    word.add_argument("--loaders", type=int, default=0, help="processes of each DataLoader of the stock search")
    word.add_argument("--work", type=Path, required=True, help="a folder for the searches")
    word.add_argument("--study", type=Path, help="a study's file instead of the data's own")
    word.add_argument("--only", choices=["ours", "stock"], help="this method alone instead of both at the same time")
    word = words.add_parser("table")
    word.add_argument("files", type=Path, nargs="+")
    word.add_argument("--markdown", action="store_true")
    return parser


if __name__ == "__main__":
    main()
