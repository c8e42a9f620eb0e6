"""Pairs of networks with and without a choice: which are trained, and what is said of them."""

import math
from collections import Counter
from dataclasses import asdict

from search.config_record import flat
from tests.search_bench.openings import OPENINGS, jobs, paired, sampled, summary, without


def test_each_opening_has_its_pairs_and_differs_in_its_fields_alone() -> None:
    every = list(jobs(3))
    assert len(set(every)) == len(every)
    assert Counter(name for _, name in every if name) == dict.fromkeys(OPENINGS, 3)
    for sample, name in every:
        config, params = sampled(sample)
        assert sampled(sample)[1] == params
        before, after = (dict(flat(asdict(each))) for each in (config, without(config, name)))
        changed = {field for field in before if before[field] != after[field]}
        assert bool(changed) == bool(name)
        assert changed <= set(OPENINGS[name](config.arch, config.training) if name else ())
        assert (sample, "") in every


def test_gains_by_hand() -> None:
    rows = [
        ("0", "", 10.0),
        ("0", "act", 12.0),
        ("1", "", 9.0),
        ("1", "act", 8.0),
        ("2", "", 7.0),
        ("2", "act", math.inf),
    ]
    pairs = paired([{"sample": s, "opening": o, "value": str(v)} for s, o, v in [*rows, ("3", "act", 1.0)]])
    assert pairs == {"act": [(10.0, 12.0), (9.0, 8.0), (7.0, math.inf)]}
    row = summary("act", pairs["act"])
    assert (row["pairs"], row["better"], row["with 0.5"], row["without 0.5"]) == ("3", "67%", "9.00", "12.00")
    assert row["gain"].startswith("+2.00 (")
    assert row["among the best half"] == "+993.00"  # of three pairs one
