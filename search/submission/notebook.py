"""The notebook that is handed in: it needs torch, numpy and Pillow, and measures again what model.json claims.

Its folder must hold `model.json` and `model.pth`, the plain network's weights (`search.submission.network.weights`).
Where the data and the test images are it takes from two environment variables, or from its first lines.
"""

import copy
import html
import json
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode, v4

from data.errors import UserError
from data.transforms.augment import level
from data.transforms.warp import inputs, reduce
from models.heads import Direct
from search.after.model import Model
from search.after.predict import skeleton
from search.run.ledger import Row
from search.submission import cells
from search.submission.layout import Layout
from search.submission.network import source
from search.submission.python import embed

DATA, TEST = "NOTEBOOK_DATA", "NOTEBOOK_TEST"
"""Environment variables with FreiHAND's folder and that of the test images."""

CURVE_ROWS = 8


def build(model: Model, name: str, data: str = "FreiHAND", layout: Layout | None = None) -> NotebookNode:
    """The notebook, not yet executed.

    Args:
        model: what is handed in; its facts' data must hold `valid_rows`, the images it was judged on.
        name: of the author.
        data: where the notebook looks for FreiHAND's folder unless told otherwise.
        layout: of the submitted csv where it follows an organiser's sample (`Table.layout`), None for our own.

    Raises:
        UserError: the model does not find joints in FreiHAND's layout, or does not say which images it was judged on.
    """
    facts, task = model.facts, model.study.task
    if facts.metric != "pixel_diff":
        raise UserError(f"{model.folder} is judged by {facts.metric}; the notebook knows pixel_diff (FreiHAND) alone.")
    if not facts.data.get("valid_rows"):
        raise UserError(
            f"{model.folder}/model.json names no validation images (data.valid_rows); make it anew with "
            f"`posefront retrain {facts.study} --trial {facts.trial}`."
        )
    study = plain(Path(facts.study).stem if facts.study.endswith(".py") else facts.study)
    filled = {
        "DATA": json.dumps(data, ensure_ascii=False),
        "IN_DATA": json.dumps(DATA),
        "IN_TEST": json.dumps(TEST),
        "SIZE": str(model.config.arch.size),
        "EDGES": repr([tuple(edge) for edge in task.edges]),
        "LAYOUT": repr(None if layout is None else _plain_layout(layout)),
    }
    said = {
        "AUTHOR": plain(name),
        "STUDY": study,
        "TRIAL": str(facts.trial),
        "IMAGES": f"{len(facts.data['valid_rows']):,}",
        "ARCH": _table(("field", "value"), list(_flat(model.config.arch).items())),
        "TRAINING": _trained(model),
    }
    written: list[NotebookNode] = []
    for kind, text in (
        ("text", cells.TITLE),
        ("code", cells.SETTINGS),
        ("text", cells.NETWORK),
        ("code", source(model.net, model.config.arch.input_shape)),
        ("code", cells.LOAD),
        ("text", cells.PRICE + (cells.POOL if isinstance(getattr(model.net, "head", None), Direct) else "")),
        ("code", cells.COUNT),
        ("text", cells.DATA),
        ("code", cells.READ),
        ("text", cells.IMAGES),
        ("code", embed(inputs, level, reduce)),
        ("text", cells.EVALUATION),
        ("code", cells.EVALUATE),
        ("text", cells.COMPARISON),
        ("code", cells.COMPARE),
        ("text", cells.EXAMPLES),
        ("code", embed(skeleton) + cells.DRAW),
        ("text", cells.SUBMISSION),
        ("code", cells.OWN if layout is None else cells.LIKE),
        ("text", cells.TRAINED),
    ):
        new = v4.new_markdown_cell if kind == "text" else v4.new_code_cell
        cell = new(_filled(text, said if kind == "text" else filled).strip())
        cell["id"] = f"cell-{len(written):02d}"  # nbformat draws them at random
        written.append(cell)
    metadata = {
        "authors": [{"name": name}],
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    notebook: NotebookNode = v4.new_notebook(cells=written, metadata=metadata)
    nbformat.validate(notebook)
    return notebook


def execute(
    notebook: NotebookNode, folder: Path, data: Path, test: Path | None = None, timeout_s: int = 3600
) -> NotebookNode:
    """Run a notebook from start to end in a process of its own, by the Python that runs this.

    Args:
        notebook: as `build` gives it; it is left as it was.
        folder: where it runs; model.json and model.pth lie there, and submission.csv is written there.
        data: FreiHAND's folder.
        test: the folder of the test images; without it no csv is written.
        timeout_s: for each cell.

    Returns:
        The notebook with its outputs.

    Raises:
        UserError: a cell raises an error (a claim that does not hold among them) or takes too long.
    """
    run = copy.deepcopy(notebook)
    environment = {**os.environ, DATA: str(data.absolute()), TEST: str(test.absolute()) if test else ""}
    environment.pop("PYTHONPATH", None)
    try:
        with tempfile.TemporaryDirectory(prefix="posefront-") as private:
            manager = AsyncKernelManager(
                kernel_name="python3",
                # without folders of kernels it takes ipykernel itself: a user's own "python3" may be another Python
                kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
                transport="ipc",  # files that only this user reads, no open ports
                connection_file=f"{private}/kernel.json",
            )
            client = NotebookClient(
                run,
                km=manager,
                timeout=timeout_s,
                record_timing=False,
                resources={"metadata": {"path": str(folder)}},
                extra_arguments=["--HistoryManager.enabled=False"],
            )
            client.execute(env=environment, cleanup_kc=True)
    except CellExecutionError as error:
        why = f"{error.ename}: {error.evalue}".rstrip(" .:")
        raise UserError(f"the notebook stops ({why}); mend that and build it anew.") from error
    except CellTimeoutError as error:
        raise UserError(f"a cell of the notebook takes more than {timeout_s} s; give it more time or a GPU.") from error
    except DeadKernelError as error:
        raise UserError("the notebook's process died; most likely memory ran out: free some, run it again.") from error
    return run


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


def plain(text: str) -> str:
    """Text that Markdown and HTML show as it is."""
    return re.sub(r"([\\`*_{}\[\]()#+!|~$<>-])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _filled(text: str, words: dict[str, str]) -> str:
    """A template with its words, which stand between double angle brackets."""
    return re.sub(r"<<(\w+)>>", lambda found: words[found[1]], text)


def _plain_layout(layout: Layout) -> dict[str, Any]:
    return {
        "keys": list(layout.keys),
        "pattern": layout.pattern,
        "joints": dict(layout.joints),
        "columns": {column: tuple(place) for column, place in layout.columns.items()},
    }


def _flat(thing: Any) -> dict[str, str]:
    """The fields of a dataclass in words."""
    return {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in asdict(thing).items()}


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *([plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _trained(model: Model) -> str:
    """The settings and the learning curve, in brief."""
    facts, training, augment = model.facts, model.config.training, model.config.augment
    seed = facts.seeds[0] if facts.seeds else None
    seeds = f"Seeds compared on the validation part: {len(facts.seeds)}. These are the weights of " if seed else ""
    which = f"seed {seed.seed} ({plain(seed.weights)})." if seed else ""
    teacher = f" It was distilled from {plain(facts.teacher)}." if facts.teacher else ""
    settings = [("epochs", str(facts.epochs)), *_flat(training).items(), *_flat(augment).items()]
    parts = [f"{seeds}{which}{teacher}", _table(("setting", "value"), settings)]
    if model.curves and model.curves[0]:
        parts.append(_curve(model.curves[0], facts.unit))
    return "\n\n".join(part for part in parts if part)


def _curve(rows: Sequence[Row], unit: str) -> str:
    """A few epochs of a learning curve, the first and the last among them."""
    last = len(rows) - 1
    count = min(CURVE_ROWS, len(rows))
    chosen = sorted({round(i * last / max(1, count - 1)) for i in range(count)})
    header = ("epoch", "training loss", "validation loss", f"error [{unit}]", "learning rate")
    names = ("epoch", "train_loss", "valid_loss", "error", "lr")
    return _table(header, [[f"{rows[i][name]:.4g}" for name in names] for i in chosen])
