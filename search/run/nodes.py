"""What each node of a Ray cluster has, as a driver would find it."""

import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from search.run.baggage import packed
from search.run.doctor import Finding, nearest

PACKAGES = ("ray", "optuna", "torch")

PATIENCE = 60.0
"""Seconds for a node to answer."""


def look(data: str | None, out: str) -> dict[str, Any]:
    """On a node: versions, and whether it sees the data and can write to the folder of runs."""
    from data.cores import usable_cores

    return {
        "versions": {name: version(name) for name in PACKAGES},
        "cores": usable_cores(),
        "data": data is None or Path(data).is_dir(),
        "out": os.access(nearest(Path(out)), os.W_OK),
    }


def nodes(address: str, data: Path | None, out: Path) -> Iterator[Finding]:
    """A line for each node of a cluster, which is joined for it and left.

    Raises:
        UserError: no cluster answers there.
    """
    from search.run import cluster  # isort: skip - before Ray, which reads what it sets

    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    with packed(address, None) as baggage:
        cluster.connect(address, "", baggage.folder)
    try:
        for node in ray.nodes():  # type: ignore[no-untyped-call]
            there = node["Resources"]
            place = f"node {node['NodeManagerAddress']}"
            cards = f"{there.get('CPU', 0):g} cores, {there.get('GPU', 0):g} GPUs"
            if not node["Alive"]:
                yield Finding(place, "is dead", "start it again with `ray start --address HOST:PORT`")
                continue
            on_it = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = cast("Any", ray.remote)(num_cpus=0, scheduling_strategy=on_it, max_retries=0)(look)
            asked = task.remote(str(data.absolute()) if data else None, str(out.absolute()))
            try:
                seen = ray.get(asked, timeout=PATIENCE)
            except ray.exceptions.RayError as error:
                reason = str(error).strip().splitlines()[-1]
                yield Finding(place, f"{cards}; no answer: {reason}", "every node needs the same Python packages")
                continue
            yield Finding(place, *judged(cards, seen))
    finally:
        ray.shutdown()


def judged(cards: str, seen: dict[str, Any]) -> tuple[str, str]:
    """What a node has, and what to mend."""
    here = {name: version(name) for name in PACKAGES}
    versions = ", ".join(f"{name} {number}" for name, number in seen["versions"].items())
    mends = [f"install {name} {here[name]}" for name, number in seen["versions"].items() if number != here[name]]
    mends += [] if seen["data"] else ["the data are not there: mount them at the same path"]
    away = "" if seen["out"] else "; its files come to --out through Ray"
    return f"{cards}; {versions}; {seen['cores']} usable cores{away}", "; ".join(mends)
