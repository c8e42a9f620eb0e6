"""A whole submission, looked at again in another process, and then spoilt in every way."""

import csv
import datetime
import hashlib
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import optuna
import psutil
import pytest
import torch
from optuna.trial import TrialState, create_trial
from PIL import Image

from data.errors import UserError
from data.storage.pack import Part
from models.cost import cost
from search.after import model as models
from search.after.predict import predict
from search.after.training import judged_on
from search.load import load_study
from search.objective import CourseScore, log_score, score
from search.results import answers
from search.results.view import View
from search.run.state.sampler import derived
from search.run.training import clean
from search.run.training.fit import fit
from search.study import Config, replay
from search.submission import archive, claims, course_images, csv_table
from search.submission import submit as submission
from search.submission.author import LONGEST_NAME, file_name
from search.submission.check.checks import Verdict, number
from search.submission.check.verify import verify
from search.submission.notebook import build as notebook
from search.submission.submit import Submission, submit
from tests.conftest import Painted, paint
from tests.search import test_cli
from tests.search.test_leak import opens

STUDY = """
from optuna.trial import BaseTrial
from data.tasks.freihand import FreiHand
from models.net import Arch
from search.study import Config, Study, Training

task = FreiHand(root={root!r}, folds=3, blocks=6, gap=0)

def space(trial: BaseTrial, task: FreiHand) -> Config:
    width = trial.suggest_float("width", 0.1, 1.0)
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    return Config(Arch(21, width, 32, 48, "direct", neck=0), Training(lr=lr, batch=8, ema=0.9))

study = Study(task, space, trials=1, epochs=3)
"""
PARAMS = {"width": 0.15, "lr": 5e-3}
NAME = "Zoë O\N{RIGHT SINGLE QUOTATION MARK}Brien-Smith"
STEM = "Zoe_O'Brien-Smith_midterm_project"


@dataclass(frozen=True)
class Handed:
    """A submission, all that it was made from, and what the kernel saw opened among the test images."""

    done: Submission
    model: models.Model
    view: View
    hands: Painted
    test: Path
    study: Path
    opened: list[str]

    def check(self, file: Path, **options: Any) -> Verdict:
        """A verdict, for which the notebook is not run again: it would print what it printed."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(notebook, "execute", lambda *_: nbformat.read(self.done.notebook, as_version=4))
            return verify(file, self.hands.root, study=str(self.study), **options)


def facts(file: Path, params: dict[str, Any], config: Config, seed: models.Seed, valid: Part) -> dict[str, Any]:
    """What model.json says of a model of one training."""
    price = cost(config.arch)
    return {
        "study": str(file),
        "trial": 3,
        "params": params,
        "metric": "pixel_diff",
        "unit": "px",
        "error": seed.error,
        "params_count": price.params,
        "flops": price.flops,
        "score": score(log_score(price.params / 1e6, price.flops / 1e9, seed.error)),
        "epochs": 1,
        "seeds": [seed],
        "teacher": None,
        "data": {"identity": "painted", "train": 1, "valid": len(valid.rows), "valid_rows": valid.rows.tolist()},
        "versions": models.versions(torch.device("cpu")),
        "made": datetime.datetime.now(datetime.UTC).isoformat(),
    }


def trained(folder: Path, hands: Painted) -> models.Model:
    """Three epochs, kept as the project keeps them; of a second seed, which was a little worse, it is only told."""
    file = folder / "painted_study.py"
    file.write_text(STUDY.format(root=str(hands.root)))
    study = load_study(str(file))
    config, _ = replay(study, PARAMS)
    first, second = (derived(study.seed, place) for place in range(2))
    *earlier, last = fit(study.task, config, epochs=3, seed=first, device=torch.device("cpu"))
    epochs, error = [reached.epoch for reached in (*earlier, last)], last.epoch.error
    part = study.task.split(config.arch.size)
    weights = {name.removeprefix("module."): value for name, value in last.take()["ema"].items()}
    sample = clean.sample(part)
    reached = study.task.error(last.judge(sample)[0], sample)
    seeds = [
        models.Seed(first, error, "averaged", {"averaged": error}),
        models.Seed(second, error + 1, "last", {"averaged": error + 1.5, "last": error + 1}),
    ]
    told = facts(file, PARAMS, config, seeds[0], part.valid) | {"epochs": 3, "seeds": seeds}
    told["data"] = judged_on(study.task, config.arch.size)
    told |= models.described(study.task, config) | {"config": None}  # as before it was recorded
    told |= {"train_error": reached, "train_images": len(sample.rows)}
    rows = [epoch.row() for epoch in epochs]
    models.save(folder / "model", told, weights, [rows, [{**row, "error": row["error"] + 1.5} for row in rows]])
    found = answers.of(study.task, last.outputs, part.valid, 3)
    answers.save_pictures(found, study.task, folder / "model")
    answers.save(found, folder / "model", 3)
    return models.load(folder / "model", study=str(file))


def searched() -> View:
    kept = {"params_m": 0.2, "gflops": 0.003, "pixel_diff": 40.0, "worker": "host 7"}
    ranges = {
        "width": optuna.distributions.FloatDistribution(0.1, 1.0),
        "lr": optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True),
    }
    trials = [
        create_trial(state=TrialState.COMPLETE, params=params, distributions=ranges, value=30.0, user_attrs=kept)
        for params in ({"width": 0.2, "lr": 1e-3}, PARAMS)
    ]
    trials[0].number, trials[1].number = 1, 3
    attributes = {"metric": "pixel_diff", "unit": "px", "driver": {"host": "of mine"}, "file": "/home/a/study.py"}
    return View.of("painted", CourseScore.name, attributes, trials)


def evaluation(folder: Path) -> Path:
    """Five test images, in FreiHAND's folders."""
    others = paint(folder / "others", hands=5, seed=9)
    inner = folder / "freihand" / "evaluation" / "rgb"
    inner.mkdir(parents=True)
    for index in range(5):
        shutil.copy(others.image(index), inner / f"{index:08d}.jpg")
    return folder / "freihand"


def hand_in(tmp_path_factory: pytest.TempPathFactory) -> Handed:
    folder = tmp_path_factory.mktemp("handed")
    hands = paint(folder / "hands", hands=36)
    model, view, test = trained(folder, hands), searched(), evaluation(folder)
    with opens(test / "evaluation" / "rgb") as seen:
        done = submit(model, view, NAME, test, hands.root, folder / "out")
    return Handed(done, model, view, hands, test, folder / "painted_study.py", seen.names)


def members(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def repacked(file: Path, folder: Path, contents: dict[str, bytes]) -> Path:
    """Another zip of the same name, stored, in the given order."""
    with zipfile.ZipFile(folder / file.name, "w") as opened:
        for name, content in contents.items():
            opened.writestr(name, content)
    return folder / file.name


def rehashed(contents: dict[str, bytes]) -> dict[str, bytes]:
    """All digests written anew, as someone would who knows of them."""
    try:
        said = json.loads(contents["model.json"])
    except RecursionError:
        return contents
    handed = said.pop("submission")
    handed["members"] = {name: hashlib.sha256(contents[name]).hexdigest() for name in handed["members"]}
    handed["facts_sha256"] = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    return contents | {"model.json": json.dumps(said | {"submission": handed}).encode()}


def refused(verdict: Verdict) -> dict[str, str]:
    """What is wrong, and the sentence said of it."""
    assert all(bool(line.message) != line.passed for line in verdict.lines)
    wrong = {line.name: line.message for line in verdict.lines if not line.passed and not line.warning}
    assert verdict.passed == (not wrong)
    assert all(said.endswith(".") and "\n" not in said and "posefront-" not in said for said in wrong.values())
    return wrong


def saved(thing: object) -> bytes:
    written = io.BytesIO()
    torch.save(thing, written)
    return written.getvalue()


def bomb() -> bytes:
    """Weights that are a few kilobytes packed and 101 MB unpacked."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("archive/data/0", bytes(101_000_000))
    return written.getvalue()


def weights_with(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        tensors = torch.load(io.BytesIO(content), weights_only=True)
        change(tensors)
        return saved(tensors)

    return changed


def claim(**changes: Any) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps({**json.loads(content), **changes}).encode()


def submission_claim(**changes: Any) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        said = json.loads(content)
        return json.dumps({**said, "submission": {**said["submission"], **changes}}).encode()

    return changed


def scaled(field: str, by: float) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        said = json.loads(content)
        said[field] = type(said[field])(said[field] * by)
        return json.dumps(said).encode()

    return changed


def row_changed(change: Callable[[list[str]], list[list[str]]]) -> Callable[[bytes], bytes]:
    """The csv with its second row replaced by others."""

    def changed(content: bytes) -> bytes:
        lines = list(csv.reader(io.StringIO(content.decode())))
        lines[2:3] = change(lines[2])
        written = io.StringIO()
        csv.writer(written, lineterminator="\n").writerows(lines)
        return written.getvalue().encode()

    return changed


def replaced(old: str, new: str) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        assert old.encode() in content
        return content.replace(old.encode(), new.encode(), 1)

    return changed


def first_weight(tensors: dict[str, torch.Tensor]) -> None:
    next(iter(tensors.values())).view(-1)[0] += 1e-6


def all_weights(tensors: dict[str, torch.Tensor]) -> None:
    for tensor in tensors.values():
        tensor.mul_(1.5)


def a_nan(tensors: dict[str, torch.Tensor]) -> None:
    next(iter(tensors.values())).view(-1)[0] = float("nan")


def test_a_fresh_process_passes_it(handed: Handed) -> None:
    program = (
        "import sys, json; from pathlib import Path; from search.submission.check.verify import verify\n"
        "file, data, study, test = sys.argv[1:]\n"
        "verdict = verify(Path(file), Path(data), study=study, test=Path(test))\n"
        "print(json.dumps([verdict.word, [[l.name, l.claimed, l.measured, l.difference_percent, l.message]"
        " for l in verdict.lines]]))"
    )
    given = [handed.done.zip, handed.hands.root, handed.study, handed.test]
    ran = subprocess.run([sys.executable, "-c", program, *map(str, given)], capture_output=True, text=True, check=True)
    word, lines = json.loads(ran.stdout)
    assert word == "PASS", lines
    found = {line[0]: line for line in lines}
    for name in ("PixelDiff", "params", "FLOPs", "score"):
        assert found[name][3] < 1e-3
        assert found[f"{name} in the notebook"][3] < 0.2
    assert float(found["answers for the test images"][2].split()[0]) < 1e-3


def test_each_test_image_is_read_once(handed: Handed) -> None:
    images = [name for name in handed.opened if name]
    assert images == [f"{index:08d}.jpg" for index in range(5)]


def test_what_is_in_it(handed: Handed, tmp_path: Path) -> None:
    done = handed.done
    assert done.zip.name == f"{STEM}.zip"
    found = members(done.zip)
    assert list(found) == [f"{STEM}.ipynb", "model.pth", "model.json", "Report.pdf", "report.json", "submission.csv"]
    for file in (done.csv, done.report, done.notebook):
        assert file.read_bytes() == found[file.name]
    assert sorted(file.name for file in done.zip.parent.iterdir()) == sorted(
        [*(set(found) - {"model.pth", "model.json", "report.json"}), done.zip.name]
    )
    assert not any(content[:3] == b"\xff\xd8\xff" or content[:4] == b"\x89PNG" for content in found.values())
    assert done.images == 5
    assert 2 <= done.pages <= 6
    assert done.size_mb == pytest.approx(done.zip.stat().st_size / 1e6)

    files = sorted((handed.test / "evaluation" / "rgb").iterdir())
    rows = list(csv.reader(io.StringIO(found["submission.csv"].decode())))
    assert [row[0] for row in rows[1:]] == [file.stem for file in files]
    wanted = np.stack([seen.points.ravel() for seen in predict(handed.model, files)])
    np.testing.assert_allclose(np.array([row[1:] for row in rows[1:]], float), wanted, atol=1e-3)

    said = json.loads(found["model.json"])
    assert said.pop("submission")["author"] == NAME
    (tmp_path / "model.json").write_text(json.dumps(said))
    assert models.read(tmp_path / "model.json") == models.read(handed.model.folder / "model.json")

    again = tmp_path / "again.zip"
    folder = tmp_path / "members"
    folder.mkdir()
    for name, content in found.items():
        (folder / name).write_bytes(content)
    archive.pack([folder / name for name in found], again)
    assert again.read_bytes() == done.zip.read_bytes()


def test_an_unpacked_zip_finds_hands_and_is_exported(handed: Handed, tmp_path: Path) -> None:
    folder, file = tmp_path / "unpacked", handed.hands.image(3)
    with zipfile.ZipFile(handed.done.zip) as opened:
        opened.extractall(folder)
    study = ("--study", handed.study)
    test_cli.said("predict", folder, file, "--json", tmp_path / "a.json", *study)
    found = json.loads((tmp_path / "a.json").read_text())["predictions"][0]["points"]
    (wanted,) = predict(handed.model, [file])
    np.testing.assert_allclose(found, wanted.points, atol=0.011)
    assert "ONNX" in test_cli.said("export", folder, *study)
    assert "is no name; give its file with --study." in test_cli.mistake("predict", folder, file)
    with pytest.raises(UserError, match="is a submission's"):
        models.read(folder / "model.json")
    weights = folder / "model.pth"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    refusal = test_cli.mistake("predict", folder, file, *study)
    assert "is missing, or not the one that was packed; unpack the zip anew." in refusal
    assert "is no folder; name that of a model" in test_cli.mistake("predict", handed.done.zip, file)


def test_no_study_that_an_unpacked_zip_names_by_its_file_is_run(handed: Handed, tmp_path: Path) -> None:
    folder, ran = tmp_path / "unpacked", tmp_path / "ran"
    with zipfile.ZipFile(handed.done.zip) as opened:
        opened.extractall(folder)
    (folder / "own.py").write_text(f"open({str(ran)!r}, 'w')\n")
    record = json.loads((folder / "model.json").read_text())
    # Of a model that did not record how pixels are prepared, the study is asked.
    record |= {"study": str(folder / "own.py"), "preprocessing": None}
    (folder / "model.json").write_text(json.dumps(record))
    assert "is no name; give its file with --study." in test_cli.mistake("predict", folder, handed.hands.image(3))
    assert not ran.exists()


def test_the_claims_of_a_model_that_was_preferred_to_others(handed: Handed, tmp_path: Path) -> None:
    (tmp_path / "packed.json").write_bytes(members(handed.done.zip)["model.json"])
    facts, part = claims.read(tmp_path / "packed.json")
    preferred = replace(facts, lost=(models.Loser(1, 2, 9.5, 0.25),))
    claims.write(preferred, part, tmp_path / "model.json")
    assert claims.read(tmp_path / "model.json") == (preferred, part)


BOOK = f"{STEM}.ipynb"


@pytest.mark.parametrize(
    ("member", "change"),
    [
        ("model.pth", weights_with(first_weight)),
        ("submission.csv", row_changed(lambda row: [[row[0], str(float(row[1]) + 0.01), *row[2:]]])),
        ("Report.pdf", lambda content: content + b" "),
        ("model.json", scaled("error", 0.9999999)),
        ("model.json", scaled("trial", 2)),
        (BOOK, replaced("smaller is better", "larger is better")),
    ],
)
def test_one_thing_is_changed(handed: Handed, tmp_path: Path, member: str, change: Callable[[bytes], bytes]) -> None:
    contents = members(handed.done.zip)
    spoilt = repacked(handed.done.zip, tmp_path, contents | {member: change(contents[member])})
    assert f"{member} as packed" in refused(handed.check(spoilt))


@pytest.mark.parametrize(
    ("member", "change", "wrong"),
    [
        ("model.pth", weights_with(all_weights), "PixelDiff"),
        ("model.pth", weights_with(a_nan), "weights fit it"),
        ("model.pth", weights_with(lambda tensors: tensors.popitem()), "weights fit it"),
        ("model.pth", lambda _: saved(os.system), "weights fit it"),
        ("model.pth", lambda _: bomb(), "weights fit it"),
        ("model.pth", lambda _: b"cos\nsystem\n(S'true'\ntR.", "weights fit it"),
        ("submission.csv", row_changed(lambda row: [[row[0], "1.0", *row[2:]]]), "answers for the test images"),
        ("submission.csv", row_changed(lambda row: [[row[0], "nan", *row[2:]]]), "coordinates are finite"),
        ("submission.csv", row_changed(lambda _: []), "rows of the csv"),
        ("submission.csv", row_changed(lambda row: [row, row]), "rows are named once"),
        ("submission.csv", row_changed(lambda row: [["7", *row[1:]]]), "answers for the test images"),
        ("submission.csv", lambda content: content[:-30], "csv"),
        ("Report.pdf", lambda _: b"no pages", "report"),
        ("model.json", scaled("error", 0.98), "PixelDiff"),
        ("model.json", scaled("params_count", 0.98), "params"),
        ("model.json", scaled("flops", 0.98), "FLOPs"),
        ("model.json", scaled("score", 0.98), "score"),
        ("model.json", scaled("score", 0.999), "score of the claimed numbers"),
        ("model.json", claim(score=None), "score"),
        ("model.json", claim(params={"width": 0.4, "lr": 5e-3}), "weights fit it"),
        ("model.json", claim(params={"width": 9.0, "lr": 5e-3}), "network rebuilt"),
        ("model.json", claim(params={**PARAMS, "more": 1}), "network rebuilt"),
        ("model.json", claim(data={"identity": "x", "valid_rows": [1]}), "data and split"),
        ("model.json", claim(params={"width": 10**400, "lr": 5e-3}), "network rebuilt"),
        ("model.json", claim(error="small"), "records"),
        ("model.json", claim(error=10**400), "records"),
        ("model.json", claim(seeds=[]), "records"),
        ("model.json", claim(error=float("nan")), "records"),
        ("model.json", claim(format=2), "records"),
        ("model.json", lambda _: b"[" * 100_000, "records"),
        ("model.json", submission_claim(format=1), "records"),
        ("model.json", submission_claim(csv_rows=4), "rows of the csv"),
        ("model.json", submission_claim(pages=3000), "report"),
        ("model.json", submission_claim(author="Someone Else"), "author"),
        ("model.json", submission_claim(test_names_sha256="0" * 64), "test images"),
        ("model.json", submission_claim(measured={"pixel_diff": 1.0}), "notebook's numbers in model.json"),
        (BOOK, replaced("class Net(nn.Module)", "class Net( nn.Module)"), "notebook's network"),
        (BOOK, replaced("assert worst <= 1", "assert worst <= 9"), "notebook's code"),
        (BOOK, replaced('{\\"pixel_diff\\": ', '{\\"pixel_diff\\": 1'), "PixelDiff in the notebook"),
        (BOOK, replaced('\\"params\\": ', '\\"params\\": ' + "9" * 400), "notebook"),
        (BOOK, replaced('"execution_count": 2', '"execution_count": 3'), "notebook was run"),
        (BOOK, lambda _: b"{}", "notebook"),
    ],
)
def test_something_is_changed_and_all_digests_with_it(
    handed: Handed, tmp_path: Path, member: str, change: Callable[[bytes], bytes], wrong: str
) -> None:
    contents = members(handed.done.zip)
    spoilt = contents | {member: change(contents[member])}
    assert spoilt[member] != contents[member]
    spoilt = rehashed(spoilt)
    found = refused(handed.check(repacked(handed.done.zip, tmp_path, spoilt), test=handed.test))
    assert wrong in found
    assert not any(name.endswith("as packed") for name in found)


def test_members_that_are_missing_or_too_many(handed: Handed, tmp_path: Path) -> None:
    contents = members(handed.done.zip)
    for name in contents:
        left = {other: content for other, content in contents.items() if other != name}
        found = refused(handed.check(repacked(handed.done.zip, tmp_path, left)))
        assert f"lacks {name}" in found["members"]
    for name, said in (("training/rgb/00000000.jpg", "which is data"), ("notes.txt", "which has no place in it")):
        found = refused(handed.check(repacked(handed.done.zip, tmp_path, contents | {name: b"1"})))
        assert list(found) == ["no data inside"]
        assert name in found["no data inside"]
        assert said in found["no data inside"]


def test_another_file_name(handed: Handed, tmp_path: Path) -> None:
    other = tmp_path / "Someone_midterm_project.zip"
    shutil.copy(handed.done.zip, other)
    assert "lacks Someone_midterm_project.ipynb" in refused(handed.check(other))["members"]
    other = tmp_path / f"{STEM}(1).zip"
    shutil.copy(handed.done.zip, other)
    assert "rename it" in refused(handed.check(other))["file name"]


def dangerous(kind: str, file: Path) -> None:
    """A zip that must not be unpacked."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        entry = zipfile.ZipInfo("model.pth")
        if kind == "link":
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        elif kind in {"../up", "/root", "..\\up", "C:up"}:
            entry = zipfile.ZipInfo(kind)
        if kind == "bomb":
            opened.writestr("model.pth", bytes(101_000_000))
            return
        opened.writestr(entry, "x")
        if kind == "twice":
            with pytest.warns(UserWarning, match="Duplicate name"):
                opened.writestr("model.pth", "y")
        if kind == "many":
            for number_ in range(1001):
                opened.writestr(f"{number_}", "")
    if kind == "password":
        raw = bytearray(file.read_bytes())
        raw[6] |= 1
        raw[raw.index(b"PK\x01\x02") + 8] |= 1
        file.write_bytes(raw)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("../up", "leads out"),
        ("/root", "leads out"),
        ("..\\up", "leads out"),
        ("C:up", "leads out"),
        ("link", "is a link"),
        ("bomb", "would unpack to 101 MB"),
        ("twice", "twice"),
        ("many", "1,002 members"),
        ("password", "password"),
    ],
)
def test_a_zip_that_could_do_harm(tmp_path: Path, kind: str, said: str) -> None:
    file, folder = tmp_path / "a.zip", tmp_path / "inside"
    folder.mkdir()
    dangerous(kind, file)
    with pytest.raises(UserError, match=said):
        archive.unpack(file, folder, ("model.pth", kind))
    assert not list(folder.iterdir())


def test_no_zip_at_all(handed: Handed, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is missing"):
        handed.check(tmp_path / "no.zip")
    raw = handed.done.zip.read_bytes()
    for content in (b"", b"a text", raw[: len(raw) // 2]):
        (tmp_path / f"{STEM}.zip").write_bytes(content)
        with pytest.raises(UserError, match="is no zip that can be read"):
            handed.check(tmp_path / f"{STEM}.zip")
    middle = raw.index(b"model.pth") + 5000
    (tmp_path / f"{STEM}.zip").write_bytes(raw[:middle] + bytes(50) + raw[middle + 50 :])
    with pytest.raises(UserError, match=r"is no zip that can be read|is damaged"):
        handed.check(tmp_path / f"{STEM}.zip")


def test_the_study_is_never_run_from_the_zip(handed: Handed) -> None:
    with pytest.raises(UserError, match="give its file with --study"):
        verify(handed.done.zip, handed.hands.root)


def test_other_data(handed: Handed, tmp_path: Path) -> None:
    other = paint(tmp_path / "hands", hands=36, seed=5)
    found = refused(verify(handed.done.zip, other.root, study=str(handed.study)))
    assert "other data" in found["data and split"]
    with pytest.raises(UserError, match="is not the data that"):
        submit(handed.model, handed.view, "A", handed.test, other.root, tmp_path / "out")


def test_trained_again(handed: Handed) -> None:
    error = handed.model.facts.error
    assert not refused(handed.check(handed.done.zip, retrain=lambda facts: facts.error * 1.009))
    found = refused(handed.check(handed.done.zip, retrain=lambda facts: facts.error * 1.011))
    assert list(found) == ["PixelDiff, trained again"]
    assert "differs by 1.1 %" in found["PixelDiff, trained again"]
    assert error > 0


def test_what_goes_wrong_leaves_everything_as_it_was(
    handed: Handed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / f"{STEM}.zip").write_text("an older one")

    def attempt(**changes: Any) -> None:
        given = {"model": handed.model, "name": NAME, "test": handed.test, "out": out} | changes
        submit(given["model"], handed.view, given["name"], given["test"], handed.hands.root, given["out"])

    def at_the_end(*_: object) -> None:
        raise KeyboardInterrupt

    def refusing(*_: object) -> None:
        raise UserError("a cell stops.")

    monkeypatch.setattr(submission.notebook, "execute", lambda built, *_: built)
    monkeypatch.setattr(submission.notebook, "measured", lambda _: handed.done.measured)
    with monkeypatch.context() as patch:
        patch.setattr(archive, "pack", at_the_end)
        with pytest.raises(KeyboardInterrupt):
            attempt()
    with monkeypatch.context() as patch:
        patch.setattr(archive, "MOST_MB", 0.01)
        with pytest.raises(UserError, match=r"and 0\.01 MB is the limit"):
            attempt()
    for name, number_ in handed.done.measured.items():
        if name in claims.NUMBERS.values():
            with monkeypatch.context() as patch:
                patch.setattr(
                    submission.notebook, "measured", lambda _, n=name, m=number_: handed.done.measured | {n: m * 1.011}
                )
                with pytest.raises(UserError, match=r"the notebook measures \w+ .* and .*model.json claims"):
                    attempt()
    with monkeypatch.context() as patch:
        patch.setattr(submission.notebook, "execute", refusing)
        with pytest.raises(UserError, match="a cell stops"):
            attempt()
    with pytest.raises(UserError, match=r"cannot write to .*; give --to a folder of yours\.$"):
        attempt(out=handed.study / "below")
    assert [file.name for file in out.iterdir()] == [f"{STEM}.zip"]
    assert (out / f"{STEM}.zip").read_text() == "an older one"
    attempt()
    assert zipfile.is_zipfile(out / f"{STEM}.zip")


@pytest.mark.parametrize(("place", "number"), [("notebook", signal.SIGINT), ("report", signal.SIGTERM)])
def test_a_signal_ends_it_in_one_sentence(handed: Handed, tmp_path: Path, place: str, number: signal.Signals) -> None:
    """While a cell runs, and after the notebook, when nbclient may have left handlers of its own."""
    out, mark = tmp_path / "out", tmp_path / "mark"
    arguments = [handed.model.folder, handed.study, handed.test, handed.hands.root, out, mark, place]
    process = subprocess.Popen(
        [sys.executable, "-c", SUBMITTING, *map(str, arguments)], stderr=subprocess.PIPE, text=True
    )
    while not (mark.exists() and mark.read_text()) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (
        128 + number,
        f"stopped by {number.name}; the same command may be given again.\n",
    )
    assert not list(out.iterdir())
    assert place == "report" or not psutil.pid_exists(int(mark.read_text()))  # the kernel's process


SUBMITTING = """
import os, sys, time
from pathlib import Path
from nbformat import v4
import search.cli
import search.cli.app
from search.after import model as models
from search.submission.notebook import build as notebook
from search.submission.report import typeset as report
from search.submission import submit as submission
from tests.submission.test_submission import NAME, searched

folder, study, test, data, out, mark, place = map(Path, sys.argv[1:])
cell = "import os, time; open('%s', 'w').write(str(os.getpid())); time.sleep(60)" % mark

def printing(*_):
    mark.write_text("1")
    time.sleep(60)

def submit():
    cells = [v4.new_code_cell(cell if place.name == "notebook" else "1")]
    notebook.build = lambda *_, **__: v4.new_notebook(cells=cells)
    submission._check_measured, notebook.measured, report.write = lambda *_: None, lambda _: {}, printing
    submission.submit(models.load(folder, str(study)), searched(), NAME, test, data, out)

search.cli.app.run = submit
search.cli.main()
"""


def test_an_organisers_sample(handed: Handed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = tmp_path / "sample.csv"
    names = [f"{image}_{joint}_{axis}" for image in (3, 0, 2, 1, 4) for joint in range(21) for axis in "xy"]
    sample.write_text("\n".join(["id,value", *(f"{name},0" for name in names)]))
    monkeypatch.setattr(submission.notebook, "execute", lambda built, *_: built)
    monkeypatch.setattr(submission.notebook, "measured", lambda _: handed.done.measured)
    done = submit(
        handed.model, handed.view, "Ada", handed.test, handed.hands.root, tmp_path / "out", like=sample
    )  # fmt: skip
    written = csv_table.read(done.csv)
    assert written.header == ("id", "value")
    assert [row[0] for row in written.rows] == names
    own = {row[0]: row[1:] for row in csv_table.read(handed.done.csv).rows}
    for name, value in written.rows:
        image, joint, axis = name.split("_")
        assert value == own[f"{int(image):08d}"][2 * int(joint) + "xy".index(axis)]
    sample.write_text("\n".join(["id,value", *(f"{name},0" for name in names[42:])]))
    with pytest.raises(UserError, match="lists 4 of the 5 test images"):
        submit(handed.model, handed.view, "Ada", handed.test, handed.hands.root, tmp_path / "more", like=sample)
    assert not (tmp_path / "more").exists()


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Ada Lovelace", "Ada_Lovelace"),
        ("  Ada   Lovelace ", "Ada_Lovelace"),
        ("Zoë Ångström-Müller", "Zoe_Angstrom-Muller"),
        ("O'Brien 3", "O'Brien_3"),
        ("Zoe\u0308", "Zoe"),
        ("Łukasz", "Lukasz"),
        ("Đặng", "Dang"),
        ("Straße", "Strasse"),
        ("Ørsted, Þór", "Orsted_Thor"),
        ("Dr. Ada", "Dr_Ada"),
        ("J.R.R. Tolkien", "J_R_R_Tolkien"),
        ("Ada_Lovelace", "Ada_Lovelace"),
        ("Ольга", "Olga"),
        ("Ελένη", "Eleni"),
        ("王小明", "WangXiaoMing"),
        ("ジョン・スミス", "Jiyon_Sumisu"),
        ("محمد علي", "Mhmd_Ly"),
        ("नरेन्द्र मोदी", "Nrendr_Modi"),
        ("'t Hooft", "t_Hooft"),
    ],
)
def test_names(name: str, wanted: str) -> None:
    assert file_name(name) == wanted


def test_a_file_name_is_short_however_long_a_script_is_in_latin() -> None:
    assert len(file_name("\N{CJK UNIFIED IDEOGRAPH-88C5}" * LONGEST_NAME)) == LONGEST_NAME


HOSTILE = [
    "",
    "   ",
    "--",
    "123",
    "a/b",
    "a\\b",
    "../a",
    "--help",
    "-o",
    "a\nb",
    "a\tb",
    "a\0b",
    "a\u202eb",
    "a\ud800",
    "<a>",
    "a" * 61,
]
FOREIGN = ["a\uff0fb", "a\U0001f4a5", "「王」", "..."]


@pytest.mark.parametrize("name", HOSTILE + FOREIGN)
def test_names_that_will_not_do(name: str) -> None:
    with pytest.raises(UserError) as caught:
        file_name(name)
    assert str(caught.value).startswith("--name ")
    assert str(caught.value).isprintable()


def test_folders_that_hold_no_test_images(handed: Handed, tmp_path: Path) -> None:
    root = handed.hands.root
    with pytest.raises(UserError, match="cannot be listed"):
        course_images.test_images(tmp_path / "none", root)
    with pytest.raises(UserError, match=r"holds no \.jpg"):
        course_images.test_images(tmp_path, root)
    with pytest.raises(UserError, match="is an image of"):
        course_images.test_images(root / "training" / "rgb", root)
    (tmp_path / "linked").symlink_to(root / "training" / "rgb")
    with pytest.raises(UserError, match="is an image of"):
        course_images.test_images(tmp_path / "linked", root)
    (tmp_path / "a.jpg").symlink_to(handed.hands.image(3))
    with pytest.raises(UserError, match=r"a\.jpg is an image of"):
        course_images.test_images(tmp_path, root)


def test_images_that_will_not_do_are_named_at_once(handed: Handed, tmp_path: Path) -> None:
    for file in (handed.test / "evaluation" / "rgb").iterdir():
        shutil.copy(file, tmp_path)
    Image.new("RGB", (100, 224)).save(tmp_path / "00000001.jpg")
    (tmp_path / "00000002.jpg").write_bytes((tmp_path / "00000000.jpg").read_bytes()[:2000])
    (tmp_path / "00000003.jpg").write_text("no image")
    (tmp_path / "00000004.jpg").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        submit(handed.model, handed.view, NAME, tmp_path, handed.hands.root, tmp_path / "out")
    said = str(caught.value)
    assert said.startswith("4 of 5 test images in")
    assert "00000001.jpg (100 x 224 pixels instead of 224 x 224)" in said
    assert "00000003.jpg (not an image) and 1 more" in said
    assert not (tmp_path / "out").exists()


def test_a_difference_in_per_cent() -> None:
    assert claims.difference(200.0, 201.0) == pytest.approx(0.5)
    assert claims.difference(None, None) == 0
    for claim_, found in ((None, 1.0), (1.0, None), (0.0, 1.0), (1.0, float("nan"))):
        assert not number("x", claim_, found).passed
    assert number("x", 100.0, 101.0).passed
    assert not number("x", 100.0, 101.1).passed
