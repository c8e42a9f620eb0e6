"""Every study of the project: it loads, its named trials fit its space, and what they say is what was published."""

from pathlib import Path

import pytest

from data.errors import UserError
from search.cli.price import parameters
from search.load import load_study, with_starts
from search.study import Study, replay

NAMES = sorted(
    file.stem for file in (Path(__file__).parent.parent.parent / "studies").glob("*.py") if file.stem != "__init__"
)


@pytest.fixture(scope="module", params=NAMES)
def study(request: pytest.FixtureRequest) -> Study:
    return load_study(request.param)


def test_a_study_is_read_aloud_in_a_minute() -> None:
    for name in NAMES:
        lines = (Path(__file__).parent.parent.parent / "studies" / f"{name}.py").read_text().splitlines()
        assert len(lines) <= 80, name


def test_every_named_trial_is_a_configuration_of_the_space(study: Study) -> None:
    for name, params in {**study.starts, **study.published}.items():
        config, known = replay(study, params)
        assert set(known) == set(params), name
        assert config.training.loss in ("", *study.task.losses)
        assert hash(config.arch) == hash(replay(study, params)[0].arch)


def test_a_published_recipe_is_tried_when_it_is_asked_for(study: Study) -> None:
    for name in study.published:
        assert name not in study.starts
        assert with_starts(study, [name]).starts == {**study.starts, name: study.published[name]}
        assert parameters(study, None, name, []) == study.published[name]
    with pytest.raises(UserError, match="there is no named trial 'best of all'"):
        with_starts(study, ["best of all"])
