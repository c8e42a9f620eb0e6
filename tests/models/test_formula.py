"""The formula of the small networks' price against what is counted of networks that were built."""

from dataclasses import replace

import numpy as np
import pytest

from models.cost import cost
from models.formula import totals
from models.net import Arch
from models.readings import FLOPS, PARAMS
from search.samplers.candidates import DrawnTrial
from studies import faces, freihand
from tests.models.test_cost import ARCHS
from tests.search_bench import wide_hands

STUDIES = {"freihand": freihand.study, "faces": faces.study, "wide hands": wide_hands.study}


@pytest.mark.parametrize("arch", ARCHS, ids=str)
def test_known_networks(arch: Arch) -> None:
    assert totals(arch) == (cost(arch).params, cost(arch).flops)


@pytest.mark.parametrize("name", STUDIES)
def test_whatever_a_sampler_may_propose_is_priced_as_it_is_counted(name: str) -> None:
    study, rng = STUDIES[name], np.random.default_rng(11)
    for _ in range(14):
        arch = study.space(DrawnTrial(rng, {}), study.task).arch
        assert isinstance(arch, Arch)
        odd = replace(arch, size=int(rng.integers(32, 80)) if arch.stem_kernel % 2 else arch.size)
        for each in {arch, odd}:
            assert totals(each) == (cost(each).params, cost(each).flops), each
        assert PARAMS.formula(arch) == pytest.approx(PARAMS.measure(arch), rel=1e-12)
        assert FLOPS.formula(arch) == pytest.approx(FLOPS.measure(arch), rel=1e-12)
