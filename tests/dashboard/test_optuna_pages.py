"""Optuna's dashboard over several read-only studies shows what it shows of each by itself, and writes nothing."""

import csv
import hashlib
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import optuna
import optuna_dashboard
import plotly.graph_objects as go
import pytest
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.storages import BaseStorage
from optuna_dashboard import _importance, save_note, save_plotly_graph_object
from werkzeug.test import Client, TestResponse

from search.dashboard.optuna_pages import (
    LONG,
    SLOTS,
    ArtifactFolders,
    CombinedStorage,
    OptunaPages,
    ReadOnlyError,
    unique,
)
from search.dashboard.reader import Reader
from tests.big_study import make

PLOTS = ("slice", "parallel_coordinate", "edf", "timeline")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two studies of one name in two storages, with notes, plots and artifacts."""
    runs = tmp_path_factory.mktemp("runs")
    for name in ("one", "two"):
        folder = runs / name
        (folder / "artifacts").mkdir(parents=True)
        url = f"sqlite:///{folder}/study.db"
        make(folder / "study.db", trials=40, seed=len(name) + (name == "two"))
        study = optuna.load_study(study_name="big", storage=url)
        save_note(study, f"# {name}\n" + "long " * 900)
        save_plotly_graph_object(study, go.Figure(layout_title=name), graph_object_id="pareto")
        store = FileSystemArtifactStore(folder / "artifacts")
        (folder / "page.html").write_text(f"<script>{name}</script>")
        upload_artifact(artifact_store=store, file_path=str(folder / "page.html"), study_or_trial=study)
        running = next(trial for trial in study.trials if trial.state is optuna.trial.TrialState.RUNNING)
        trial = optuna.Trial(study, running._trial_id)
        upload_artifact(artifact_store=store, file_path=str(folder / "page.html"), study_or_trial=trial)
        save_note(trial, f"a note of {name}")
        study._storage.remove_session()
    return runs


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    """A copy of `made` that may be changed."""
    return shutil.copytree(made, tmp_path / "runs")


def readers(runs: Path) -> list[Reader]:
    return [Reader(f"sqlite:///{runs}/{name}/study.db", "big") for name in ("one", "two")]


@pytest.fixture
def client(runs: Path) -> Client:
    return Client(OptunaPages(readers(runs), [runs / name / "artifacts" for name in ("one", "two")]))


def plain(runs: Path, name: str) -> Client:
    """Optuna's own dashboard of one of the studies."""
    store = FileSystemArtifactStore(runs / name / "artifacts")
    return Client(optuna_dashboard.wsgi(f"sqlite:///{runs}/{name}/study.db", artifact_store=store))


def get(client: Client, path: str) -> TestResponse:
    _importance.param_importance_cache.clear()  # the process's, by study id
    found = client.get(path, buffered=True)
    assert found.status_code == 200, (path, found.status, found.text[:300])
    return found


def sorted_lists(value: Any) -> Any:
    """JSON whose lists of attributes are in order; Optuna leaves that to the database."""
    if isinstance(value, dict):
        return {key: sorted_lists(item) for key, item in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict) and "key" in value[0]:
        return sorted(value, key=lambda item: str(item["key"]))
    return [sorted_lists(item) for item in value] if isinstance(value, list) else value


def without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_ids(item) for key, item in value.items() if key not in ("study_id", "trial_id")}
    # Curves and configurations are left out, each thousands of letters on one line.
    return [without_ids(item) for item in value if not is_long(item)] if isinstance(value, list) else value


def is_long(item: Any) -> bool:
    return isinstance(item, dict) and item.get("key") in LONG


def same(found: Any, wanted: Any) -> None:
    assert sorted_lists(without_ids(found)) == sorted_lists(without_ids(wanted))


def test_the_list_has_each_study_once_by_a_name_of_its_own(client: Client, runs: Path) -> None:
    listed = get(client, "/api/studies").json["study_summaries"]
    assert [(study["study_id"], study["study_name"]) for study in listed] == [(1, "big"), (2, "big (2)")]
    same(listed[0], get(plain(runs, "one"), "/api/studies").json["study_summaries"][0])
    assert unique(["a", "b", "a", "a (2)", "a"]) == ["a", "b", "a (2)", "a (2) (2)", "a (3)"]


@pytest.mark.filterwarnings("ignore:Some regimes")  # Optuna's, of few trials
@pytest.mark.parametrize(("key", "name"), [(1, "one"), (2, "two")])
def test_a_study_is_shown_as_optunas_dashboard_shows_it(client: Client, runs: Path, key: int, name: str) -> None:
    alone = plain(runs, name)
    ours, theirs = (get(one, f"/api/studies/{id_}").json for one, id_ in ((client, key), (alone, 1)))
    assert ours["name"] == ("big" if key == 1 else "big (2)")
    same(ours | {"name": "big"}, theirs)
    assert [trial["note"]["body"] for trial in ours["trials"]].count(f"a note of {name}") == 1
    assert ours["note"]["body"].startswith(f"# {name}")
    assert json.loads(ours["plotly_graph_objects"][0]["graph_object"])["layout"]["title"]["text"] == name
    assert ours["best_trials"]
    assert [trial["trial_id"] for trial in ours["trials"]] == [
        SLOTS * trial["trial_id"] + key - 1 for trial in theirs["trials"]
    ]
    same(get(client, f"/api/studies/{key}?after=35").json["trials"], theirs["trials"][35:])
    same(get(client, f"/api/studies/{key}/param_importances").json, get(alone, "/api/studies/1/param_importances").json)
    rows = [
        sorted(
            column
            for column in zip(*list(csv.reader(io.StringIO(get(one, path).text))), strict=True)
            if not column[0].endswith(LONG)
        )
        for one, path in ((client, f"/csv/{key}"), (alone, "/csv/1"))
    ]
    assert rows[0] == rows[1]
    assert len(rows[0][0]) == 41
    assert not any(
        column[0].endswith(LONG)
        for column in zip(*csv.reader(io.StringIO(get(client, f"/csv/{key}").text)), strict=True)
    )


@pytest.mark.parametrize("plot", PLOTS)
def test_plots_are_those_of_optunas_dashboard(client: Client, runs: Path, plot: str) -> None:
    found = json.loads(get(client, f"/api/studies/2/plot/{plot}").text)
    wanted = json.loads(get(plain(runs, "two"), f"/api/studies/1/plot/{plot}").text)
    if plot == "edf":
        found["data"][0].pop("name"), wanted["data"][0].pop("name")
    if plot == "timeline":  # whose texts have all attributes
        for trace in (*found["data"], *wanted["data"]):
            trace.pop("text")
    assert found == wanted


def test_pages_and_their_parts_are_served(client: Client) -> None:
    for path in ("/dashboard", "/dashboard/studies/1", "/dashboard/studies/1/trials"):
        assert b"/static/bundle.js" in get(client, path).data
    assert len(get(client, "/static/bundle.js").data) > 1e6
    assert get(client, "/favicon.ico").data
    assert get(client, "/api/meta").json["artifact_is_available"] is True
    assert client.head("/dashboard", buffered=True).status_code == 200
    assert client.get("/").headers["Location"].endswith("/dashboard")


@pytest.mark.parametrize(("key", "name"), [(1, "one"), (2, "two")])
def test_artifacts_come_from_their_studys_folder_and_run_nothing(client: Client, key: int, name: str) -> None:
    study = get(client, f"/api/studies/{key}").json
    trial = next(trial for trial in study["trials"] if trial["artifacts"])
    for path in (
        f"/artifacts/{key}/{study['artifacts'][0]['artifact_id']}",
        f"/artifacts/{key}/{trial['trial_id']}/{trial['artifacts'][0]['artifact_id']}",
        f"/artifacts/{key}/{trial['trial_id']}/{trial['artifacts'][0]['artifact_id']}/",
    ):
        found = get(client, path)
        assert found.text == f"<script>{name}</script>"
        assert found.headers["Content-Type"].startswith("text/html")
        assert found.headers["Content-Security-Policy"] == "sandbox"
        assert found.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in found.headers


def test_what_is_not_there_is_404(client: Client, runs: Path) -> None:
    study = get(client, "/api/studies/1").json
    artifact = study["artifacts"][0]["artifact_id"]
    other = next(trial["trial_id"] for trial in study["trials"] if not trial["artifacts"])
    for path in (
        "/api/studies/3",
        "/api/studies/0",
        "/api/studies/-1",
        "/api/studies/99999999999999999999",
        "/api/studies/3/param_importances",
        "/api/studies/3/plot/slice",
        "/api/studies/\u0661",
        "/csv/3",
        f"/artifacts/3/{artifact}",
        f"/artifacts/1/{other}/{artifact}",
        f"/artifacts/1/77777/{artifact}",
        f"/artifacts/\u0661/{artifact}",
        f"/artifacts/2/{artifact}",
        "/artifacts/1/00000000-0000-0000-0000-000000000000",
        "/artifacts/1/..%2f..%2fstudy.db",
        "/artifacts/1/../../study.db",
        "/static/../_app.py",
        "/nowhere",
    ):
        assert client.get(path, buffered=True).status_code in (404, 403 if "static" in path else 404), path
    (runs / "one" / "artifacts" / artifact).unlink()
    assert client.get(f"/artifacts/1/{artifact}", buffered=True).status_code == 404


def test_a_study_that_is_deleted_leaves_the_list(client: Client, runs: Path) -> None:
    for path in ("/api/studies/1", "/api/studies/1/plot/slice", "/csv/1"):
        get(client, path)
    optuna.delete_study(study_name="big", storage=f"sqlite:///{runs}/one/study.db")
    listed = get(client, "/api/studies").json["study_summaries"]
    assert [study["study_id"] for study in listed] == [2]
    for path in ("", "/param_importances", "/plot/slice", "/plot/edf"):
        found = client.get(f"/api/studies/1{path}")
        assert (found.status_code, found.json) == (404, {"reason": "there is no such study"})
    assert client.get("/csv/1").status_code == 404
    get(client, "/api/studies/2")
    make(runs / "new.db", trials=12)
    (runs / "new.db").replace(runs / "one" / "study.db")
    listed = get(client, "/api/studies").json["study_summaries"]
    assert [study["study_id"] for study in listed] == [SLOTS + 1, 2]  # another study is another one to the pages
    assert len(get(client, f"/api/studies/{SLOTS + 1}").json["trials"]) == 12
    assert client.get("/api/studies/1").status_code == 404


def test_nothing_but_reading_is_allowed_and_nothing_is_written(client: Client, runs: Path) -> None:
    def content() -> dict[Path, str]:
        return {
            path: hashlib.sha256(path.read_bytes()).hexdigest() + str(path.stat().st_mtime_ns)
            for path in runs.rglob("*")
            if path.is_file()
        }

    before = content()
    for path in ("/api/studies/1", "/api/studies/1/param_importances", "/api/studies/1/plot/slice", "/csv/2"):
        get(client, path)
    for method, path in (
        ("POST", "/api/studies"),
        ("DELETE", "/api/studies/1"),
        ("PUT", "/api/studies/2/note"),
        ("PUT", "/api/studies/1/80/note"),
        ("POST", "/api/studies/1/rename"),
        ("POST", "/api/trials/80/tell"),
        ("POST", "/api/trials/80/user-attrs"),
        ("POST", "/api/artifacts/1/80"),
        ("DELETE", "/api/artifacts/1/80/00000000-0000-0000-0000-000000000000"),
        ("PATCH", "/anything"),
    ):
        found = client.open(path, method=method, json={"study_name": "x", "body": "x", "version": 9})
        assert found.status_code == 403, path
        assert re.fullmatch(
            r"this dashboard never writes to a study; run optuna-dashboard sqlite:///.*/(one|two)/study.db to edit it.",
            found.json["reason"],
        )
    assert "two" in client.put("/api/studies/2/note").json["reason"]
    assert content() == before


def test_the_storage_itself_writes_nothing(runs: Path) -> None:
    storage = CombinedStorage(readers(runs))
    reads = {"get_", "holds", "reader", "remove_session", "check_", "_", "add", "number"}
    writers = {
        name
        for name in dir(BaseStorage)
        if callable(getattr(BaseStorage, name)) and not any(name.startswith(read) for read in reads)
    }
    assert len(writers) == 10
    for name in writers:
        with pytest.raises(ReadOnlyError, match="never writes"):
            getattr(storage, name)(1, "x", "y")


def test_a_storages_promises_hold_of_the_combined_one(runs: Path) -> None:
    storage = CombinedStorage(readers(runs))
    for study in storage.get_all_studies():
        key = study._study_id
        assert storage.get_study_id_from_name(study.study_name) == key
        assert storage.get_study_name_from_id(key) == study.study_name
        trials = storage.get_all_trials(key)
        assert [trial.number for trial in trials] == list(range(40))
        assert all(storage.get_trial(trial._trial_id) is trial for trial in trials)
        assert storage.get_n_trials(key, optuna.trial.TrialState.RUNNING) == 8
        assert storage.get_trial_id_from_study_id_trial_number(key, 7) == trials[7]._trial_id
    numbers = [trial._trial_id for key in (1, 2) for trial in storage.get_all_trials(key)]
    assert len(set(numbers)) == 80
    for wrong in (
        lambda: storage.get_trial(9999),
        lambda: storage.get_all_trials(3),
        lambda: storage.get_study_directions(0),
    ):
        with pytest.raises(KeyError):
            wrong()


def test_only_artifacts_of_the_folders_are_opened(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    secret = tmp_path / "11111111-1111-1111-1111-111111111111"
    secret.write_text("secret")
    (tmp_path / "a" / "22222222-2222-2222-2222-222222222222").symlink_to(secret)
    (tmp_path / "b" / "33333333-3333-3333-3333-333333333333").write_text("fine")
    (tmp_path / "b" / "plain").write_text("no artifact")
    store = ArtifactFolders([tmp_path / "a", tmp_path / "missing", tmp_path / "b"])
    with store.open_reader("33333333-3333-3333-3333-333333333333") as file:
        assert file.read() == b"fine"
    for wrong in (secret.name, f"../{secret.name}", "22222222-2222-2222-2222-222222222222", "plain", "", str(secret)):
        with pytest.raises(ArtifactNotFound):
            store.open_reader(wrong)
    for write in (store.write, store.remove):
        with pytest.raises(ReadOnlyError):
            write("33333333-3333-3333-3333-333333333333")


def test_a_hostile_name_breaks_no_page(tmp_path: Path) -> None:
    name = "x\r\nSet-Cookie: a=b\u2028<script>"
    make(tmp_path / "study.db", trials=20, name=name)
    client = Client(OptunaPages([Reader(f"sqlite:///{tmp_path}/study.db", name)], []))
    assert get(client, "/api/studies").json["study_summaries"][0]["study_name"] == "x  Set-Cookie: a=b <script>"
    found = get(client, "/csv/1")
    assert "Set-Cookie" not in found.headers
    assert get(client, "/api/studies/1").json["name"].startswith("x  Set")
