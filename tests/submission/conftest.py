"""What several files of tests look at."""

import pytest

from tests.submission.test_submission import Handed, hand_in


@pytest.fixture(scope="session")  # not a module's: where tests are reordered, it would be made several times
def handed(tmp_path_factory: pytest.TempPathFactory) -> Handed:
    return hand_in(tmp_path_factory)
