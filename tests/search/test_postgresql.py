"""Searches in a real PostgreSQL database whose server is killed meanwhile, and where its password is not to be read."""

import json
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
from optuna.trial import TrialState

from data.errors import UserError
from search.dashboard.reader import Reader
from search.dashboard.replies import Replies
from search.dashboard.request import Request
from search.dashboard.source import sources
from search.paths import STORAGE
from search.run.state import storage as storages
from search.run.state.storage import StorageError, open_storage
from search.storage_url import without_passwords
from tests.postgresql import PASSWORD, QUOTED, Server
from tests.search import test_kills as kills
from tests.search.test_cli import mistake
from tests.search.test_cli import said as said_by
from tests.search.test_process import COMMAND
from tests.search.test_search import STUDY, Search
from tests.without_ray import engine

pytestmark = pytest.mark.timeout(900)


def told(url: str) -> list[Any]:
    """What is to be the same in any storage."""
    storage: Any = open_storage(url)
    trials = optuna.load_study(study_name="tiny_study", storage=storage).get_trials()
    storage._backend.engine.dispose()
    return [(trial.number, trial.state, trial.params, trial.intermediate_values, trial.values) for trial in trials]


def test_a_server_killed_again_and_again_is_waited_for_and_nothing_is_lost_or_doubled(postgresql: Server) -> None:
    """The whole of a search but Ray and the training, at every moment of which the server may vanish."""
    expected, _ = kills.whole()
    storage: Any = open_storage(postgresql.url())
    seed = random.SystemRandom().randrange(10**6)
    draw, over = random.Random(seed), threading.Event()

    def kill() -> None:
        for _ in range(12):
            if over.wait(draw.random() * 0.2):
                return
            postgresql.end(draw.choice((signal.SIGQUIT, signal.SIGINT)))
            time.sleep(draw.random() * 0.5)
            postgresql.start()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        kills.search(storage, {})
    finally:
        over.set()
        killer.join()
    assert kills.told(storage) == expected, seed
    storage._backend.engine.dispose()


def test_a_server_that_stays_away_ends_a_search_in_a_sentence_and_the_next_one_goes_on(
    postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storages, "PATIENCE", 0.5)
    expected, _ = kills.whole()
    storage: Any = open_storage(postgresql.url())
    disk: kills.Disk = {}
    killer = threading.Timer(random.SystemRandom().random() * 0.1, postgresql.end)
    killer.start()
    try:
        with pytest.raises(StorageError, match=r"its server does not answer .* give the same command again") as caught:
            kills.search(storage, disk)
    finally:
        killer.join()
        postgresql.start()
    assert QUOTED not in str(caught.value)
    kills.search(storage, disk)
    assert kills.told(storage) == expected
    storage._backend.engine.dispose()


def test_a_search_outlives_its_server_and_prints_and_writes_no_password(
    postgresql: Server, tmp_path: Path, cache: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the same search, without Ray, in an SQLite file that nothing happens to."""
    options = ("--trials", "6", "--workers", "1")
    with monkeypatch.context() as patch:
        patch.setattr("search.run.engine.search", engine())
        said_by("search", STUDY, "--out", tmp_path / "whole", *options)
    url, home = postgresql.url(), tmp_path / "home"
    home.mkdir()
    there = {STORAGE: url, "TMPDIR": str(scratch), "RAY_TMPDIR": str(scratch), "HOME": str(home)}
    search = Search(tmp_path / "runs", cache, TINY_SLEEP="0.3", **there)
    driver = search.start(*options)
    started = [driver]
    reader = Reader(url, "tiny_study")

    def epochs() -> int:
        try:
            return sum(len(trial.intermediate_values) for trial in reader.state().trials)
        except UserError:
            return 0  # the driver is just making it

    heard = []

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        line = [*COMMAND, *map(str, words)]
        ended = subprocess.run(line, env=search.environment, capture_output=True, text=True, check=False)
        heard.append(ended.stdout + ended.stderr)
        return ended

    try:
        while epochs() < 2 and driver.poll() is None:
            time.sleep(0.2)
        # Meanwhile another driver does not take this search's private Ray for a cluster that is there for all.
        local = f"sqlite:///{home}/s.db"
        words = [*COMMAND, "search", STUDY, "--out", tmp_path / "other", "--storage", local, "--address", "auto"]
        joining = subprocess.Popen(
            words, env=search.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(joining)
        postgresql.end()
        away = time.monotonic()
        seen = epochs()
        assert "cannot be read just now" in reader.stale
        best = run("best", STUDY, "--out", search.out)
        assert best.returncode == 2
        assert "Connection refused" in " ".join(best.stderr.split())
        everything = [file for file in scratch.rglob("*") if file.is_file()]
        assert any(file.name == "raylet.out" for file in everything)
        while time.monotonic() - away < 10:
            time.sleep(0.1)
        assert driver.poll() is None
        assert epochs() == seen
        reading = [file for file in everything if file.is_file() and holds(file)]
        postgresql.start()
        said, _ = joining.communicate(timeout=300)
        heard.append(said)
        assert joining.returncode == 2
        assert "--address auto found no cluster that `ray start` has begun" in " ".join(said.split())
        said, _ = driver.communicate(timeout=300)
        heard.append(said)
        assert driver.returncode == 0, said
        assert "waiting for the storage postgresql://ada:***@127.0.0.1" in " ".join(said.split())
        assert "Traceback" not in said
        assert told(url) == told(f"sqlite:///{tmp_path}/whole/tiny_study/study.db")
        # Whoever looks at it finds what was searched.
        listed = json.loads(run("best", STUDY, "--out", search.out, "--json").stdout)
        complete = {number for number, state, *_ in told(url) if state is TrialState.COMPLETE}
        assert {entry["number"] for entry in listed} == complete
        shown = run("best", STUDY, "--out", search.out).stdout
        assert "posefront retrain" in shown
        assert "--storage" not in shown  # the environment says it again
        run("best", STUDY, "--out", search.out, "--storage", f"{url}?application_name=x")
        assert "***@127.0.0.1" in heard[-1]
        looked_at = sources([str(STUDY)], search.out, url)
        pages = Replies(looked_at)
        heard += [pages.page("tiny_study", page, None, Request()) for page in ("pareto", "progress", "now")]
        looked_at[0].reader.close()
        reading += [
            file for place in (search.out, cache, home) for file in place.rglob("*") if file.is_file() and holds(file)
        ]
        assert reading == []
        assert not any(PASSWORD in text or QUOTED in text for text in heard)
    finally:
        for process in started:
            if process.poll() is None:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
                process.kill()
        reader.close()


def holds(file: Path) -> bool:
    content = file.read_bytes()
    return PASSWORD.encode() in content or QUOTED.encode() in content


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder of a short name, for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_mistakes_are_a_sentence_without_the_password(postgresql: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgresql.url()
    for wrong, expected in (
        (url.replace("ada:", "bob:"), 'password authentication failed for user "bob"'),
        (url + "x", "does not exist"),
        (url.replace("127.0.0.1", "nosuchhost.invalid"), "nosuchhost.invalid"),
    ):
        said = mistake("best", STUDY, "--storage", wrong)
        assert expected in said
        assert "***@" in said
        assert QUOTED not in said
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv(STORAGE, url)
    for words in (("search", STUDY), ("best", STUDY), ("dashboard",)):
        said = mistake(*words)
        assert "needs psycopg, which is not installed" in said
        assert without_passwords(url) in said
