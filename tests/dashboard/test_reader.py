"""A study read behind Optuna's back is what Optuna reads; and nothing is ever written to it."""

import hashlib
import json
import shutil
import sqlite3
import threading
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from data.errors import UserError
from search import paths as home
from search.dashboard import database, tables
from search.dashboard.database import Database
from search.dashboard.reader import GoneError, Reader, names
from search.run.state.ledger import Ledger
from tests.big_study import make
from tests.search.test_ledger import STUDY, ledger, row, train


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "study.db"


def url(file: Path) -> str:
    return f"sqlite:///{file}"


def optunas(url: str, name: str) -> list[FrozenTrial]:
    """Optuna's own reading, with nothing kept from before."""
    storage = RDBStorage(url)
    trials = storage.get_all_trials(storage.get_study_id_from_name(name), deepcopy=False)
    storage.remove_session()
    storage.engine.dispose()
    return trials


def alike(found: Any, wanted: list[FrozenTrial]) -> None:
    """Field by field, the order of the parameters too; a NaN is as good as another."""
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert vars(one).keys() == vars(other).keys()
        for field, value in vars(other).items():
            assert repr(sorted(vars(one)[field].items()) if isinstance(value, dict) else vars(one)[field]) == repr(
                sorted(value.items()) if isinstance(value, dict) else value
            ), field
        assert list(one.params.items()) == list(other.params.items())
        assert [type(value) for value in one.params.values()] == [type(value) for value in other.params.values()]


def awkward(storage: Any) -> None:
    """Every state, type and value that a trial can have, in the storage's study 'odd'."""
    study = optuna.create_study(study_name="odd", storage=storage)
    distributions = {
        "none": CategoricalDistribution([None, True, 1.5, "a\u2028'\"<b>"]),
        "log": FloatDistribution(1e-5, 1.0, log=True),
        "whole": IntDistribution(-5, 5, step=5),
    }
    odd = {
        "list": [1, {"deep": None}],
        "text": "\u00fc\n\0\U0001f590",
        "empty": {},
        "big": 2**70,
        "nan": [float("inf")],
    }
    for choice in distributions["none"].choices:  # type: ignore[attr-defined]
        for state, value in ((TrialState.COMPLETE, -0.0), (TrialState.PRUNED, float("inf")), (TrialState.FAIL, None)):
            study.add_trial(
                create_trial(
                    state=state,
                    value=value,
                    params={"none": choice, "log": 1e-5 / 3 + 1e-5, "whole": -5},
                    distributions=distributions,
                    user_attrs=odd,
                    system_attrs={"constraints:Params": 0.5, "artifacts:1": json.dumps({"filename": "x"})},
                    intermediate_values={3: float("nan"), -1: float("-inf"), 2: float("inf"), 0: 1e-320},
                )
            )
    study.add_trial(create_trial(state=TrialState.COMPLETE, value=float("-inf")))
    study.enqueue_trial({"log": 0.5}, user_attrs={"name": "start"})
    study.ask()
    study.ask(distributions)
    study.enqueue_trial({"log": 0.25})


def test_all_is_read_as_optuna_reads_it(file: Path) -> None:
    awkward(url(file))
    wanted = optunas(url(file), "odd")
    assert {trial.state for trial in wanted} == set(TrialState)
    alike(Reader(url(file), "odd").state().trials, wanted)


def test_a_made_study_is_one_of_this_projects(file: Path) -> None:
    from search.study import replay
    from studies.freihand import study

    make(file, trials=300)
    view = Reader(url(file), "big").read()
    alike(view.trials, optunas(url(file), "big"))
    assert {entry.state for entry in view.entries} == {"finished", "stopped", "failed", "refused", "running"}
    for trial in view.trials:
        _, distributions = replay(study, trial.params)
        assert distributions == trial.distributions
        assert list(distributions) == list(trial.params)
    assert (view.metric, view.unit, view.scored, view.name) == ("pixel_diff", "px", True, "big")
    assert all(len(view.curves[number]) == entry.epochs for number, entry in view.by_number.items() if entry.epochs)


def fresh(file: Path) -> list[FrozenTrial]:
    return list(Reader(url(file), "book").state().trials)


@pytest.fixture
def book(file: Path) -> Ledger:
    return ledger(STUDY, url(file))


def test_every_change_of_a_search_is_read_and_only_changes(file: Path, book: Ledger) -> None:
    reader = Reader(url(file), "book")
    states = [reader.state()]
    assert states[0].trials == ()
    for act in (
        book.ask,
        lambda: book.report(0, row(1, 30.0)),
        lambda: book.place(0, "host 1"),
        lambda: book.report(0, row(2, 20.0)),
        lambda: book.stop(0),
        lambda: book.finish(train(book, [9, 8, 7, 6])),
        lambda: book.fail(train(book, [5]), "x"),
        lambda: train(book, [4.0]),
        book.release,
        lambda: ledger(STUDY, url(file)).ask(),
        lambda: book.optuna_study.set_user_attr("late", [1]),
    ):
        act()
        view = reader.read()
        alike(view.trials, optunas(url(file), "book"))
        alike(view.trials, fresh(file))
        assert view.attrs == book.optuna_study.user_attrs
        assert reader.read() is view
        states.append(reader.state())
    assert [state.revision for state in states] == list(range(1, 1 + len(states)))
    for before, after in pairwise(states):  # what is over is not read again
        for old, new in zip(before.trials, after.trials, strict=False):
            assert (old is new) == (old == new)
            assert old is new or not old.state.is_finished()


def test_what_others_write_into_the_same_file_is_no_change(file: Path, book: Ledger) -> None:
    train(book, [1])
    reader = Reader(url(file), "book")
    view = reader.read()
    optuna.create_study(study_name="other", storage=url(file))
    assert reader.read() is view
    assert names(url(file)) == ["book", "other"]


def content(folder: Path) -> dict[str, tuple[str, int]]:
    """Each file's bytes and when it was last written, ns."""
    return {
        path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in folder.iterdir()
    }


def test_nothing_is_written(file: Path, book: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    book.finish(train(book, [3, 2, 1]))
    during, before = [], content(file.parent)

    def watched(*args: Any) -> Any:
        during.append({path.name: path.stat().st_mtime_ns for path in file.parent.iterdir()})
        return fetch(*args)

    fetch = tables.fetch
    monkeypatch.setattr(tables, "fetch", watched)
    Reader(url(file), "book").read()
    names(url(file))
    Reader(url(file), "book").read()
    assert during == [{name: mtime for name, (_, mtime) in before.items()}] * 2
    assert content(file.parent) == before


def test_sqlite_itself_refuses_to_write(file: Path, book: Ledger) -> None:
    book.ask()
    for statement in ("delete from trials", "create table t (x)", "update studies set study_name = 'x'", "vacuum"):
        opened = Database(url(file))
        with pytest.raises(Exception, match=r"readonly|VACUUM"), opened.transaction() as connection:
            connection.exec_driver_sql(statement)
        opened.close()


def test_a_search_that_goes_on_writing_is_not_kept_from_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(file, trials=400)
    monkeypatch.setattr(tables, "BATCH", 16)
    done, written = threading.Event(), [0]
    change = "update study_user_attributes set value_json = ? where key = 'data'"

    def write() -> None:
        with closing(sqlite3.connect(file, timeout=1.0, isolation_level=None)) as driver:
            while not done.wait(0.01):
                driver.execute(change, [str(len(written))])
                written.append(len(written))

    writer = threading.Thread(target=write)
    writer.start()
    read = [Reader(url(file), "big").read() for _ in range(3)]
    done.set()
    writer.join()
    assert len(written) > 3  # none waited for a second, or it would have been an error
    assert read[-1].attrs["data"] in written
    alike(read[-1].trials, optunas(url(file), "big"))


def test_a_locked_file_shows_what_was_known(file: Path, book: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT", 0.05)
    book.ask()
    reader, late = Reader(url(file), "book"), Reader(url(file), "book")
    view = reader.read()
    book.report(0, row(1, 30.0))
    with closing(sqlite3.connect(file)) as driver:
        driver.execute("begin exclusive")
        assert reader.read() is view
        assert "locked" in reader.stale
        assert "try again in a while" in reader.stale
        with pytest.raises(UserError, match=r"cannot be read just now \(database is locked\); try again"):
            late.read()
    assert reader.read().curves[0][0]["error"] == 30.0
    assert reader.stale == ""
    assert late.read().trials == reader.read().trials


def test_a_search_killed_in_a_commit_is_read_as_before_it(file: Path, book: Ledger, tmp_path: Path) -> None:
    for _ in range(3):
        book.finish(train(book, [3, 2, 1]))
    wanted = optunas(url(file), "book")
    dead = tmp_path / "dead"
    dead.mkdir()
    with closing(sqlite3.connect(file, isolation_level=None)) as driver:
        driver.execute("pragma cache_size = 1")  # so that half of it is in the file before the commit
        driver.execute("begin")
        driver.execute("update trial_user_attributes set value_json = ?", [json.dumps("x" * 5000)])
        driver.execute("delete from trial_params")
        for path in (file, file.with_name(file.name + "-journal")):
            shutil.copy(path, dead / path.name)
        driver.execute("rollback")
    assert (dead / "study.db").read_bytes() != file.read_bytes()
    alike(Reader(url(dead / "study.db"), "book").state().trials, wanted)
    assert (dead / "study.db").read_bytes() == file.read_bytes()
    assert [path.name for path in dead.iterdir()] == ["study.db"]


def test_a_study_deleted_while_open_and_searched_again(file: Path, book: Ledger) -> None:
    book.finish(train(book, [3]))
    reader = Reader(url(file), "book")
    before = reader.state()
    optuna.delete_study(study_name="book", storage=url(file))
    for _ in range(2):
        with pytest.raises(GoneError, match=r"the study 'book' is no longer in sqlite.*study.db: it was deleted"):
            reader.read()
    again = ledger(STUDY, url(file))
    again.fail(train(again, []), "x")
    after = reader.state()
    assert after.study._study_id == before.study._study_id  # SQLite hands out the same ids again
    assert after.trials[0]._trial_id == before.trials[0]._trial_id
    alike(after.trials, optunas(url(file), "book"))
    assert after.revision > before.revision


@pytest.mark.parametrize("trained", [True, False])
def test_a_study_deleted_and_searched_again_between_two_readings(file: Path, book: Ledger, trained: bool) -> None:
    for _ in range(3):
        number = train(book, [3])
        if trained:
            book.finish(number)
    reader = Reader(url(file), "book")
    before = reader.state()
    optuna.delete_study(study_name="book", storage=url(file))
    ledger(STUDY, url(file)).ask()
    after = reader.state()
    alike(after.trials, optunas(url(file), "book"))
    assert len(after.trials) == 1
    assert after.life == before.life + 1


def test_a_file_deleted_or_replaced_while_open(file: Path, book: Ledger, tmp_path: Path) -> None:
    book.finish(train(book, [3]))
    other = tmp_path / "other.db"
    rival = ledger(STUDY, url(other))
    rival.fail(train(rival, [1, 2]), "y")
    wanted = optunas(url(other), "book")
    reader = Reader(url(file), "book")
    assert reader.read().trials[0].state is TrialState.COMPLETE
    other.replace(file)
    alike(reader.read().trials, wanted)
    assert reader.state().life == 1
    file.unlink()
    for _ in range(2):
        with pytest.raises(GoneError, match="deleted or moved"):
            reader.read()
    assert not file.exists()


@pytest.fixture
def wrong(tmp_path: Path) -> dict[str, str]:
    """URLs that a user may give by mistake."""
    (tmp_path / "text.db").write_text("not a database, and longer than a header " * 9)
    (tmp_path / "empty.db").touch()
    (tmp_path / "folder.db").mkdir()
    for name, statement in (
        ("foreign", "create table t (x)"),
        ("old", "update alembic_version set version_num = 'v3'"),
        ("new", "update alembic_version set version_num = 'v3.10.0.a'"),
    ):
        if name != "foreign":
            optuna.create_study(study_name="book", storage=url(tmp_path / f"{name}.db"))
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as made, made:
            made.execute(statement)
    return {path.stem: url(path) for path in tmp_path.iterdir()} | {
        "missing": url(tmp_path / "missing.db"),
        "malformed": "sqlite/study.db",
        "unknown": "nosuchbase://host/x",
        "driver": "mysql://me:secret@host/x",
        "port": "postgresql://host:port/x",
    }


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("missing", "missing.db names no file; give the storage that the search was given."),
        ("text", r"text.db cannot be read \(file is not a database\); give the storage that the search was given."),
        ("folder", r"folder.db cannot be read \(unable to open database file\); give the storage"),
        ("empty", "empty.db holds no studies of Optuna; give the storage that the search was given."),
        ("foreign", "foreign.db holds no studies of Optuna; give the storage that the search was given."),
        ("old", r"the tables of .*old.db were made by an older version of Optuna \(v3, not v3.2.0.a\); bring them up"),
        (
            "new",
            r"new.db were made by a newer version of Optuna \(v3.10.0.a, not v3.2.0.a\) than .* a newer posefront.",
        ),
        ("malformed", "'sqlite/study.db' is no database URL .*; e.g. sqlite:///study.db."),
        ("unknown", "'nosuchbase://host/x' is no database URL"),
        ("driver", r"mysql://me:\*\*\*@host/x needs a database driver that is not installed: No module named"),
        ("port", "'postgresql://host:port/x' is no database URL"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(wrong: dict[str, str], what: str, said: str, tmp_path: Path) -> None:
    there = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=said) as one:
        Reader(wrong[what], "book").read()
    with pytest.raises(UserError, match=said):
        names(wrong[what])
    assert not isinstance(one.value, GoneError)
    assert str(one.value).count("\n") == 0
    assert sorted(tmp_path.iterdir()) == there


def test_a_study_that_is_not_there_is_said_with_those_that_are(file: Path, book: Ledger) -> None:
    with pytest.raises(UserError, match=r"the storage holds no study 'big'; it holds: book\.") as found:
        Reader(url(file), "big").read()
    assert str(found.value) == str(home.absent("big", [book.optuna_study.study_name]))


def test_the_tables_that_are_read_are_this_optunas() -> None:
    storage = RDBStorage("sqlite://")
    assert storage.get_head_version() == database.SCHEMA
    storage.engine.dispose()


def test_many_threads_read_at_once(file: Path, book: Ledger) -> None:
    reader = Reader(url(file), "book")
    reader.read()
    found: list[Any] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            try:
                found.append(reader.read().trials)
            except Exception as error:  # noqa: BLE001 - told below
                found.append(error)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        book.stop(train(book, [3, 2]))
    done.set()
    for thread in threads:
        thread.join()
    assert not [error for error in found if isinstance(error, Exception)]
    alike(reader.read().trials, optunas(url(file), "book"))


@pytest.mark.usefixtures("book")
def test_where_a_recorded_study_lies_is_found_the_same_way_for_all(file: Path, tmp_path: Path) -> None:
    assert home.file_of("postgresql://host/x") is home.file_of("sqlite://") is home.file_of("nonsense") is None
    assert home.file_of(f"sqlite:///{file}?timeout=3") == file
    assert home.checked(f"sqlite:///{file}?timeout=3") == f"sqlite:///{file}?timeout=3"
    (tmp_path / "book").mkdir()
    shutil.copy(file, tmp_path / "book" / "study.db")
    assert home.existing("book.py", tmp_path, None) == url(tmp_path / "book" / "study.db")
    assert home.recorded("book", tmp_path, None).user_attrs == Reader(url(file), "book").read().attrs
    with pytest.raises(UserError, match="there is no search of 'nobody' in"):
        home.existing("nobody", tmp_path, None)
    with pytest.raises(UserError, match="names no file"):
        home.existing("book", tmp_path, url(tmp_path / "none.db"))
    with pytest.raises(UserError, match="the storage holds no study 'nobody'; it holds: book"):
        home.recorded("nobody", tmp_path, url(file))


def test_a_study_of_somebody_elses_is_read(file: Path) -> None:
    study = optuna.create_study(study_name="theirs", storage=url(file), directions=["maximize", "minimize"])
    study.enqueue_trial({"x": 1})
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 9), 1.0), n_trials=2)
    study.ask()
    reader = Reader(url(file), "theirs")
    alike(reader.state().trials, optunas(url(file), "theirs"))
    assert reader.state().study.directions == study.directions
