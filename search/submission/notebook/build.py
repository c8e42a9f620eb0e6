"""The notebook that is handed in: it needs torch, numpy and Pillow, and measures again what model.json claims.

Its folder must hold `model.json` and `model.pth`, the plain network's weights (`network_source.weights`).
Where the data and the test images are, and whether it trains, it takes from environment variables or its first lines.
"""

import asyncio
import copy
import json
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import torch
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode, v4
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from data.errors import UserError
from data.storage.image import displayed, in_colour
from data.transforms.augment import level
from data.transforms.warp import inputs, reduce
from models.heads import Direct
from search.after.model import Model
from search.format import value_text
from search.results.skeleton import skeleton
from search.run.state.ledger import Row
from search.submission.check.checks import first_line
from search.submission.csv_layout import Layout
from search.submission.notebook import training_source
from search.submission.notebook.network_source import source
from search.submission.notebook.python_source import embed
from search.submission.report.markdown import plain, table

DATA, TEST, TRAIN = "NOTEBOOK_DATA", "NOTEBOOK_TEST", "NOTEBOOK_TRAIN"
"""Environment variables with FreiHAND's folder, with that of the test images, and, "1", to train."""

CURVE_ROWS = 8
"""Epochs of the learning curve that are printed."""

TEMPLATE = Path(__file__).with_name("notebook_template.md")
"""The cells: Markdown, and code in fences; <<MARKS>> are filled in."""
TRAINING = Path(__file__).with_name("training_template.md")
"""Those that train."""
FREIHAND = "https://lmb.informatik.uni-freiburg.de/projects/freihand"


def build(model: Model, name: str, layout: Layout | None = None) -> NotebookNode:
    """The notebook, not yet executed.

    The model's facts must say which images it was judged on (`valid_rows`). The layout is that of the submitted csv
    where it follows an organiser's sample (`Table.layout`), None for our own.

    Raises:
        UserError: the model does not find joints in FreiHAND's layout, does not say which images it was judged on, or
            its record is no training's.
    """
    facts = model.facts
    if facts.metric != "pixel_diff":
        raise UserError(f"{model.folder} is judged by {facts.metric}; the notebook knows pixel_diff (FreiHAND) alone.")
    if not facts.data.get("valid_rows"):
        raise UserError(
            f"{model.folder}/model.json names no validation images (data.valid_rows); make it anew with "
            f"`posefront retrain {facts.study} --trial {facts.trial}`."
        )
    try:
        refused = training_source.refusal(model)
        words, values = _words(model, name), _values(model, layout, not refused)
        if refused:
            training = f"This notebook cannot train it: {plain(refused)}"
        else:
            training, words = TRAINING.read_text(encoding="utf-8"), words | training_source.words(model)
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # of a record that is not one of ours
        raise UserError(f"{model.folder}/model.json describes no training of ours ({first_line(error)}).") from error
    cells: list[NotebookNode] = []
    for code, text in _template("own" if layout is None else "like", training):
        cell = (v4.new_code_cell if code else v4.new_markdown_cell)(_filled(text, values if code else words).strip())
        cell["id"] = f"cell-{len(cells):02d}"  # nbformat draws them at random
        cells.append(cell)
    metadata = {
        "authors": [{"name": name}],
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    notebook: NotebookNode = v4.new_notebook(cells=cells, metadata=metadata)
    nbformat.validate(notebook)
    return notebook


def execute(
    notebook: NotebookNode,
    folder: Path,
    data: Path,
    test: Path | None = None,
    timeout_s: int = 3600,
    train: bool = False,
) -> NotebookNode:
    """A notebook with its outputs, run from start to end in a process of its own, by the Python that runs this.

    Args:
        notebook: as `build` gives it; it is left as it was.
        folder: where it runs; model.json and model.pth lie there, and submission.csv is written there.
        data: FreiHAND's folder.
        test: the folder of the test images; without it no csv is written.
        timeout_s: for each cell.
        train: whether it trains the network, instead of loading it.

    Raises:
        UserError: a cell raises an error (a claim that does not hold among them) or takes too long.
    """
    run = copy.deepcopy(notebook)
    environment = {**os.environ, DATA: str(data.absolute()), TEST: str(test.absolute()) if test else ""}
    environment[TRAIN] = "1" if train else ""
    environment.pop("PYTHONPATH", None)
    try:
        with tempfile.TemporaryDirectory(prefix="posefront-") as private:
            _run(_client(run, folder, Path(private), timeout_s), environment)
    except CellExecutionError as error:
        why = f"{error.ename}: {error.evalue}".rstrip(" .:")
        raise UserError(f"the notebook stops ({why}); mend that and build it anew.") from error
    except CellTimeoutError as error:
        raise UserError(f"a cell of the notebook takes more than {timeout_s} s; give it more time or a GPU.") from error
    except DeadKernelError as error:
        raise UserError("the notebook's process died; most likely memory ran out: free some, run it again.") from error
    run.metadata = copy.deepcopy(notebook.metadata)  # without the version of this Python
    return run


def _run(client: NotebookClient, environment: Mapping[str, str]) -> None:
    """Run all cells in a thread; whatever ends the wait for it, a signal for one, ends the kernel first.

    In the main thread nbclient would handle SIGINT and SIGTERM itself, not end the run with the kernel, and leave
    Python's own handlers behind.
    """
    manager = client.km
    assert isinstance(manager, AsyncKernelManager)  # noqa: S101 - for the type checker
    with asyncio.Runner() as runner:  # ends what nbclient has left waiting
        loop = runner.get_loop()
        cells = loop.create_task(client.async_execute(env=environment, cleanup_kc=True))
        try:
            with ThreadPoolExecutor(1) as thread:
                over = thread.submit(loop.run_until_complete, asyncio.gather(cells, return_exceptions=True))
                try:
                    (result,) = over.result()
                except BaseException:
                    client.shutdown_kernel = "immediate"
                    loop.call_soon_threadsafe(cells.cancel)
                    raise
        finally:
            if manager.has_kernel:  # of a start that was cancelled
                loop.run_until_complete(manager.shutdown_kernel(now=True))
    if isinstance(result, BaseException):
        raise result


def _client(notebook: NotebookNode, folder: Path, private: Path, timeout_s: int) -> NotebookClient:
    """What runs a notebook's cells in `folder`; its sockets lie in the folder `private`."""
    manager = AsyncKernelManager(
        kernel_name="python3",
        # without folders of kernels it takes ipykernel itself: a user's own "python3" may be another Python
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
        transport="ipc",  # files that only this user reads, no open ports
        connection_file=f"{private}/kernel.json",
    )
    return NotebookClient(
        notebook,
        km=manager,
        timeout=timeout_s,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--HistoryManager.enabled=False"],
    )


def measured(notebook: NotebookNode) -> dict[str, float]:
    """What an executed notebook measured: pixel_diff, params, flops, log_score, difference_percent, and score.

    `score` is absent where a float cannot hold it.

    Raises:
        UserError: the notebook says no such numbers.
    """
    for cell in reversed(notebook.cells):
        for output in cell.get("outputs", []):
            for line in reversed(str(output.get("text", "")).splitlines()):
                if line.startswith('{"pixel_diff"'):
                    try:
                        return {key: float(value) for key, value in json.loads(line).items() if value is not None}
                    except (ValueError, TypeError, OverflowError) as error:
                        raise UserError(f"the notebook's numbers cannot be read ({error}); execute it anew.") from error
    raise UserError("the notebook holds no measured numbers; execute it from start to end.")


def _template(kind: str, training: str) -> Iterator[tuple[bool, str]]:
    """The template's cells as (whether it is code, text).

    Args:
        kind: code that is marked with another word is left out.
        training: the training part.
    """
    whole = TEMPLATE.read_text(encoding="utf-8").replace("<<TRAINING_CELLS>>", training)
    parts = re.split(r"^```python ?(\w*)\n(.*?)^```$", whole, flags=re.MULTILINE | re.DOTALL)
    for place in range(0, len(parts), 3):
        if parts[place].strip():
            yield False, parts[place]
        if place + 2 < len(parts) and parts[place + 1] in ("", kind):
            yield True, parts[place + 2]


def _values(model: Model, layout: Layout | None, training: bool) -> dict[str, str]:
    """What stands for the marks in the template's code: Python; with the training part's where it is there."""
    given: dict[str, Any] = {"math": math, "np": np, "torch": torch, "nn": nn, "F": functional, "Tensor": Tensor}
    given["Image"] = Image
    values = {
        "DATA": json.dumps("FreiHAND"),
        "IN_DATA": json.dumps(DATA),
        "IN_TEST": json.dumps(TEST),
        "IN_TRAIN": json.dumps(TRAIN),
        "SIZE": repr(model.config.arch.size),
        "EDGES": repr([tuple(edge) for edge in model.edges]),
        "LAYOUT": repr(None if layout is None else _plain_layout(layout)),
        "NETWORK_SOURCE": source(model.net, model.config.arch.input_shape, given).strip(),
        "INPUTS_SOURCE": embed(displayed, in_colour, inputs, level, reduce, given=given),
    }
    if training:
        values |= training_source.values(model, given)
    return values | {"SKELETON_SOURCE": embed(skeleton, given=given)}


def _words(model: Model, name: str) -> dict[str, str]:
    """What stands for the marks in the template's text: Markdown."""
    facts = model.facts
    pooled = isinstance(getattr(model.net, "head", None), Direct)
    return {
        "AUTHOR": plain(name),
        "PROGRAM": _program(facts.versions),
        "SOURCE": _data_source(facts.data.get("drawn")),
        "STUDY": plain(Path(facts.study).stem if facts.study.endswith(".py") else facts.study),
        "TRIAL": str(facts.trial),
        "IMAGES": f"{len(facts.data['valid_rows']):,}",
        "ARCH": table(("field", "value"), list(_flat(model.config.arch).items())),
        "POOL": "Here that is the average pooling before the last layer." if pooled else "",
        "TRAINING": _trained(model),
    }


def _program(versions: Mapping[str, str]) -> str:
    """Which posefront found and trained the network."""
    address = versions.get("address", "")
    where = f", <{address}>" if re.fullmatch(r"https://[\w./~-]+", address) else ""
    commit = plain(versions.get("commit", "unknown"))
    return f"Found and trained by posefront {plain(versions.get('posefront', 'unknown'))}, commit {commit}{where}."


def _data_source(drawn: Mapping[str, Any] | None) -> str:
    """Where the data come from, and what makes the folder."""
    if not drawn:
        return f"FreiHAND's training set (<{FREIHAND}>), or the photographs in its layout that it was trained on."
    count, seed, difficulty = int(drawn["count"]), int(drawn["seed"]), float(drawn["difficulty"])
    command = f"posefront data synth FreiHAND --count {count} --seed {seed} --difficulty {difficulty:g}"
    return f"the drawn hands that it was trained on, which `{command}` draws again."


def _filled(text: str, words: dict[str, str]) -> str:
    """A template with its marks, which stand between double angle brackets, replaced."""
    return re.sub(r"<<(\w+)>>", lambda match: words[match[1]], text)


def _plain_layout(layout: Layout) -> dict[str, Any]:
    return {
        "keys": list(layout.keys),
        "pattern": layout.pattern,
        "joints": dict(layout.joints),
        "columns": {column: tuple(place) for column, place in layout.columns.items()},
    }


def _flat(thing: Any) -> dict[str, str]:
    return {name: value_text(value) for name, value in asdict(thing).items()}


def _trained(model: Model) -> str:
    """The settings and the learning curve, in brief."""
    facts, training, augment = model.facts, model.config.training, model.config.augment
    seed = facts.seeds[0] if facts.seeds else None
    seeds = f"Seeds compared on the validation part: {len(facts.seeds)}. These are the weights of " if seed else ""
    which = f"seed {seed.seed} ({plain(seed.weights)})." if seed else ""
    teacher = f" It was distilled from {plain(facts.teacher)}." if facts.teacher else ""
    training = replace(training, ema=training_source.ema(model), weights=Path(training.weights).name)
    settings = [("epochs", str(facts.epochs)), *_flat(training).items(), *_flat(augment).items()]
    parts = [f"{seeds}{which}{teacher}", table(("setting", "value"), settings)]
    if model.curves and model.curves[0]:
        minutes = sum(row.get("seconds", 0.0) for row in model.curves[0]) / 60
        parts.append(f"Its {len(model.curves[0])} epochs took {minutes:.1f} minutes; some of them:")
        parts.append(_curve(model.curves[0], facts.unit))
    return "\n\n".join(part for part in parts if part)


def _curve(rows: Sequence[Row], unit: str) -> str:
    """A few epochs of a learning curve, the first and the last among them."""
    last = len(rows) - 1
    count = min(CURVE_ROWS, len(rows))
    chosen = sorted({round(i * last / max(1, count - 1)) for i in range(count)})
    header = ("epoch", "training loss", "validation loss", f"error [{unit}]", "learning rate")
    names = ("epoch", "train_loss", "valid_loss", "error", "lr")
    return table(header, [[f"{rows[i][name]:.4g}" for name in names] for i in chosen])
