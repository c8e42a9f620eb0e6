"""Stars and notes: who may write them, where they are kept, and that nothing else is."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from data.errors import UserError
from search.dashboard import notes
from search.dashboard.filters import matching
from search.dashboard.notes import FILE, LONGEST, Note
from search.dashboard.server import Application
from search.dashboard.source import sources
from tests.dashboard.seen import HOSTILE, TINY, Seen, recorded, served, trained

OWN = {"Host": "127.0.0.1:8080", "Origin": "http://127.0.0.1:8080"}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    book = recorded(tmp_path)
    for error in (12.0, 14.0):
        trained(book, error)
    return tmp_path


def put(client: Client, path: str = "/note/tiny_study/0", headers: Any = OWN, **body: Any) -> TestResponse:
    return client.post(path, json={"star": True, "text": "good"} | body, headers=headers)


def test_notes_are_written_by_the_own_page_alone(out: Path) -> None:
    found = sources([str(TINY)], out, None)
    client = Client(Application(found))
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    refused = [
        put(client, headers={"Host": "127.0.0.1:8080"}),
        put(client, headers=OWN | {"Origin": "http://evil.example"}),
        put(client, headers=OWN | {"Origin": "null"}),
        put(client, headers=OWN | {"Origin": "http://127.0.0.1:8081"}),
        put(client, headers=OWN | {"Sec-Fetch-Site": "cross-site"}),
        put(client, headers={"Host": "evil.example", "Origin": "http://evil.example"}),
        put(Client(Application(found, notes=False))),
    ]
    assert [reply.status_code for reply in refused] == [403] * 7
    assert "--read-only" in refused[-1].text
    assert put(client, "/note/tiny_study/7").status_code == 404
    assert put(client, "/note/gone/0").status_code == 404
    assert put(client, text=1).status_code == 400
    assert put(client, star="yes").status_code == 400
    assert put(client, text="x" * (LONGEST + 1)).status_code == 400
    assert client.post("/note/tiny_study/0", data="{}", headers=OWN).status_code == 415
    assert client.get("/note/tiny_study/0", headers=OWN).status_code == 405
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before

    assert put(client, text=f" {HOSTILE}\nsecond line ").status_code == 204
    folder = out / "tiny_study"
    known, study = notes.load(folder, found[0].reader.study_id), folder / "study.db"
    assert known == {0: Note(True, f"{HOSTILE}\nsecond line")}
    assert study.read_bytes() == before[study]

    # On every page, in the table, the filter and the facts; and escaped by whoever shows it.
    view = found[0].view()
    assert [entry.number for entry in matching(view, "star=yes").entries] == [0]
    assert [entry.number for entry in matching(view, "note~SECOND").entries] == [0]
    page = client.post("/view/tiny_study/pareto", json={}, headers=OWN).json
    assert page is not None
    assert {"name": "starred", "value": "1", "filter": "star=yes"} in page["facts"]
    table = next(block for block in page["blocks"] if block["id"] == "trials")
    column = [each["title"] for each in table["columns"]].index("note")
    assert [row[column] for row in table["rows"]] == [f"\u2605 {HOSTILE} second line", ""]

    # An empty note is none.
    assert put(client, star=False, text="  ").status_code == 204
    assert notes.load(folder, found[0].reader.study_id) == {}
    assert client.post("/view/tiny_study/pareto", json={"revision": page["revision"]}, headers=OWN).status_code == 200


def test_many_who_write_at_once_lose_nothing(tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=notes.save, args=(tmp_path / "new", "id", number, Note(text=f"n {number}")))
        for number in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert notes.load(tmp_path / "new", "id") == {number: Note(text=f"n {number}") for number in range(12)}
    # A study that was begun anew under the same name has none of them.
    assert notes.load(tmp_path / "new", "another") == {}


def test_a_file_that_is_none_is_not_written_over(out: Path) -> None:
    file = out / "tiny_study" / FILE
    for text in ("{", '{"notes": 1}', json.dumps({"study": None, "notes": {"x": {}}}), '{"notes": {"1": {"star": 1}}}'):
        file.write_text(text)
        with pytest.raises(UserError, match="cannot be read as notes"):
            notes.load(file.parent, None)
        reply = put(Client(Application(sources([str(TINY)], out, None))))
        assert reply.status_code == 409
        assert FILE in reply.text
        assert file.read_text() == text


def test_a_star_and_a_note_are_given(out: Path, see: Callable[..., Seen]) -> None:
    with served(sources([str(TINY)], out, None)) as url:
        seen = see(f"{url}#/tiny_study/trial/1")
        page = seen.page
        page.get_by_role("button", name="star").click()
        page.wait_for_selector("#block-note button[aria-pressed=true]")
        other = see(f"{url}#/tiny_study/trial/1")
        other.page.wait_for_selector("#block-note button[aria-pressed=true]")
        other.page.fill("#block-note textarea", "half a sen")
        page.fill("#block-note textarea", HOSTILE)
        page.locator("#block-note textarea").blur()
        page.wait_for_selector("text=saved")
        # What another is just writing stays.
        other.page.wait_for_timeout(2500)
        assert other.page.input_value("#block-note textarea") == "half a sen"
        page.get_by_role("link", name="Pareto", exact=True).click()
        seen.until(lambda: "\u2605 <img" in page.inner_text("#block-trials"), "the note in the table")
        page.locator("#facts a", has_text="1").last.click()
        seen.until(lambda: seen.rows() == [1], "the starred trial alone")
        assert "filter=star" in page.url
        assert page.evaluate("window.hurt") is None
        assert seen.wrong + other.wrong == []
