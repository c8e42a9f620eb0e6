"""What each node of a Ray cluster has, as a driver would find it."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from data.errors import UserError
from search.run.cluster.baggage import packed
from search.run.doctor.machine import Finding, nearest
from search.run.scratch import prefix

PACKAGES = ("ray", "optuna", "torch")

PATIENCE = 60.0
"""Seconds for a node to answer."""


def look(data: str | None, mark: str) -> dict[str, Any]:
    """On a node: versions, and whether it sees the data and a file in the folder of runs."""
    from data.cores import usable_cores

    return {
        "versions": {name: version(name) for name in PACKAGES},
        "cores": usable_cores(),
        "data": data is None or Path(data).is_dir(),
        "out": Path(mark).is_file(),
    }


def nodes(address: str, data: Path | None, out: Path) -> Iterator[Finding]:
    """A line for each node of a cluster, which is joined for it and left.

    Raises:
        UserError: no cluster answers there, or the folder of runs cannot be written to.
    """
    from search.run.cluster import start  # isort: skip - before Ray, which reads what it sets

    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    with packed(address, None) as baggage:
        start.connect(address, "", baggage.folder)
    with ExitStack() as ended:
        ended.callback(ray.shutdown)
        mark = ended.enter_context(marked(nearest(out.absolute())))
        for node in ray.nodes():  # type: ignore[no-untyped-call]
            there = node["Resources"]
            place = f"node {node['NodeManagerAddress']}"
            cards = f"{there.get('CPU', 0):g} cores, {there.get('GPU', 0):g} GPUs"
            if not node["Alive"]:
                yield Finding(place, "is dead", "start it again with `ray start --address HOST:PORT`")
                continue
            on_it = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = cast("Any", ray.remote)(num_cpus=0, scheduling_strategy=on_it, max_retries=0)(look)
            asked = task.remote(str(data.absolute()) if data else None, mark)
            try:
                seen = ray.get(asked, timeout=PATIENCE)
            except ray.exceptions.RayError as error:
                reason = str(error).strip().splitlines()[-1]
                yield Finding(place, f"{cards}; no answer: {reason}", "every node needs the same Python packages")
                continue
            yield Finding(place, *judged(cards, seen))


@contextmanager
def marked(folder: Path) -> Iterator[str]:
    """A file in a folder, by which a node that sees the very same folder knows it.

    Raises:
        UserError: the folder cannot be written to.
    """
    with ExitStack() as kept:
        try:
            mark = kept.enter_context(tempfile.NamedTemporaryFile(prefix=prefix(), dir=folder))
        except OSError as error:
            raise UserError(f"{folder} cannot be written to ({error.strerror}); give --out another folder.") from None
        yield mark.name


def judged(cards: str, seen: dict[str, Any]) -> tuple[str, str]:
    """What a node has, and what to mend."""
    here = {name: version(name) for name in PACKAGES}
    versions = ", ".join(f"{name} {number}" for name, number in seen["versions"].items())
    mends = [f"install {name} {here[name]}" for name, number in seen["versions"].items() if number != here[name]]
    mends += [] if seen["data"] else ["the data are not there: mount them at the same path"]
    away = "" if seen["out"] else "; its files come to --out through Ray"
    return f"{cards}; {versions}; {seen['cores']} usable cores{away}", "; ".join(mends)
