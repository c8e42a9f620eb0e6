"""What is packed beside what is made again: texts, notebooks and PDF files that differ, and that do not."""

import base64
import copy
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pypdf
import pytest
import typst
from nbformat import v4, writes
from PIL import Image, ImageDraw
from pypdf.actions import JavaScript

from search.submission import strict_json
from search.submission.check import compare


@pytest.mark.parametrize(
    ("packed", "own"),
    [
        ("", ""),
        ("PixelDiff 52.2078 px", "PixelDiff 52.2079 px"),
        ("best: 00000012.jpg 50.1 px", "best: 00000012.jpg 50.2 px"),
        ("score 2.77764e+17 of 1", "score 2.77900e+17 of 1"),
        ("score 1,234,567", "score 1,234,569"),
        ("x 0.00001 %", "x 0.41201 %"),
        ('"difference_percent": 2.3e-05}', '"difference_percent": 0.1}'),
        ("torch 2.15.0+cu132 on cpu; claimed: 52.2078 px\n", "torch 2.11.0 on cuda; claimed: 52.2078 px\n"),
    ],
)
def test_texts_of_two_machines(packed: str, own: str) -> None:
    assert compare.text(packed, own) == compare.text(own, packed) == ""


@pytest.mark.parametrize(
    ("packed", "own", "said"),
    [
        ("PixelDiff 5.2078 px", "PixelDiff 52.2078 px", "'PixelDiff 5.2078' where 'PixelDiff 52.2078' belongs"),
        ("PixelDiff 52.1 px", "PixelDiff 52.2078 px", "'PixelDiff 52.1'"),
        ("29,331 params", "29,332 params", "'29,331'"),
        ("best: 00000013.jpg", "best: 00000012.jpg", "'best: 00000013"),
        ("epochs 24", "epochs 2", "'epochs 24'"),
        ("x 3.1 %", "x 0.1 %", "'x 3.1'"),
        ("a 1", "b 1", "'a 1' where 'b 1' belongs"),
        ("All say it is the best of all 1", "All say it is the best of 1", "'y it is the best of all 1' where"),
        ("a 1 and more", "a 1", "'a 1 and more' where 'a 1' belongs"),
        ("a", "a 1", "'a' where 'a 1' belongs"),
        ("torch 2.15 on cpu <b>", "torch 2.15 on cpu", "<b>"),
        ("torch 2.15 with much to say on cpu", "torch 2.15 on cpu", "'torch 2.15' where"),
        ("9" * 400, "9" * 399, "999"),
        ("nan px", "1.0 px", "nan px"),
    ],
)
def test_texts_that_say_something_else(packed: str, own: str, said: str) -> None:
    assert said in compare.text(packed, own)
    assert compare.text(own, packed)
    assert len(compare.text(packed, own)) < 200


def drawn(change: Callable[[ImageDraw.ImageDraw], object] = lambda _: None, quality: int = 88, **options: Any) -> str:
    """A JPEG file of some lines in base 64."""
    image = Image.fromarray(np.random.default_rng(0).integers(90, 110, (224, 672, 3), dtype=np.uint8))
    pen = ImageDraw.Draw(image)
    pen.line((30, 40, 500, 200), "white", 3)
    change(pen)
    written = io.BytesIO()
    image.save(written, options.pop("format", "JPEG"), quality=quality, **options)
    return base64.b64encode(written.getvalue()).decode()


def test_pictures() -> None:
    own = drawn()
    for same in (own, drawn(quality=86), drawn(lambda pen: pen.point((5, 5), "red"))):
        assert compare.picture(same, own) == ""
    moved = compare.picture(drawn(lambda pen: pen.line((30, 60, 300, 20), "white", 3)), own)
    assert "of its pixels" in moved
    assert "cannot be read" in compare.picture("AAAA", own)
    assert "cannot be read" in compare.picture(drawn(format="PNG"), own)
    assert "more in it than" in compare.picture(drawn(comment=b"x" * 60_000), own)
    small = io.BytesIO()
    Image.new("RGB", (10, 10)).save(small, "JPEG")
    assert "10 x 10 pixels instead of 672 x 224" in compare.picture(base64.b64encode(small.getvalue()).decode(), own)


def book() -> dict[str, Any]:
    """A notebook's file, as JSON."""
    code = v4.new_code_cell("print(1)\nprint(2)", id="b", execution_count=1)
    code.outputs = [
        v4.new_output("stream", name="stdout", text="PixelDiff 52.2078 px\n12 images\n"),
        v4.new_output("display_data", data={"image/jpeg": drawn(), "text/plain": "<Image>"}),
        v4.new_output("stream", name="stdout", text="the end\n"),
    ]
    cells = [v4.new_markdown_cell("# Title\n\nAda", id="a"), code]
    return json.loads(writes(v4.new_notebook(cells=cells, metadata={"authors": [{"name": "Ada"}]})))


def at(*place: str | int, value: Any) -> Callable[[dict[str, Any]], object]:
    """A change at a place of a notebook."""

    def change(content: Any) -> None:
        *way, last = place
        for key in way:
            content = content[key]
        content[last] = value

    return change


def dropped(*place: str | int) -> Callable[[dict[str, Any]], object]:
    def change(content: Any) -> None:
        *way, last = place
        for key in way:
            content = content[key]
        del content[last]

    return change


OUTPUTS = ("cells", 1, "outputs")
ERROR = v4.new_output("error", ename="E", evalue="", traceback=[])
HIDDEN = {"jupyter": {"source_hidden": True}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (at("cells", 0, "source", value=["# Another"]), "cell 1, source has '# Another' where '# Title' belongs"),
        (at("cells", 0, "source", value=["# Title\n", "\n", "Bob"]), "has 'Bob' where 'Ada'"),
        (at("cells", 0, "attachments", value={"a.png": {"image/png": "AAAA"}}), "cell 1, attachments has no place"),
        (at("cells", 0, "cell_type", value="raw"), "cell 1, cell_type has 'raw'"),
        (at("cells", 0, "metadata", "tags", value=["hide"]), "cell 1, metadata, tags has no place"),
        (at("cells", 1, "metadata", value=HIDDEN), "cell 2, metadata, jupyter has no place"),
        (at("cells", 1, "id", value="z"), "cell 2, id has 'z'"),
        (at("cells", 1, "source", value=["print(1)"]), "cell 2, source has '' where 'print(2)'"),
        (at("cells", 1, "execution_count", value=7), "cell 2, execution_count has '7'"),
        (at("cells", 1, "execution_count", value=True), "cell 2, execution_count"),
        (lambda nb: nb["cells"].append(nb["cells"][0]), "cells there are 3 instead of 2"),
        (dropped("cells", 0), "cell 1, "),
        (at("metadata", "authors", 0, "name", value="Bob"), "metadata, authors 1, name has 'Bob'"),
        (at("metadata", "widgets", value={}), "metadata, widgets has no place"),
        (at("more", value=1), "more has no place"),
        (at("nbformat_minor", value=4), "nbformat_minor has '4'"),
        (at(*OUTPUTS, 0, "text", value=["PixelDiff 4.9 px\n", "12 images\n"]), "outputs 1, text has 'PixelDiff 4.9'"),
        (at(*OUTPUTS, 0, "name", value="stderr"), "outputs 1, name has 'stderr'"),
        (at(*OUTPUTS, 1, "data", "text/html", value="<b>4.9 px</b>"), "data, 'text/html' has no place"),
        (at(*OUTPUTS, 1, "data", "image/jpeg", value="AAAA"), "'image/jpeg' has a picture that cannot be read"),
        (dropped(*OUTPUTS, 1, "data", "image/jpeg"), "'image/jpeg' is missing"),
        (at(*OUTPUTS, 1, "metadata", value={"isolated": True}), "outputs 2, metadata, isolated has no place"),
        (dropped(*OUTPUTS, 2), "outputs there are 2 instead of 3"),
        (
            lambda nb: nb["cells"][1]["outputs"].append(v4.new_output("error", ename="E", evalue="", traceback=[])),
            "there are 4 instead of",
        ),
        (at(*OUTPUTS, 0, "text", value=["9" * 1_000_000]), "outputs 1, text has"),
        (at(*OUTPUTS, 0, "text", value={"a": 1}), "outputs 1, text has"),
    ],
)
def test_a_notebook_in_which_something_is_changed(change: Callable[[dict[str, Any]], object], said: str) -> None:
    packed, own = book(), book()
    change(packed)
    places = list(compare.notebooks(packed, own))
    words = [f"{compare.shown(place)} {what}" for place, what in places]
    assert any(said in each for each in words), words
    assert all(len(each) < 400 for each in words)


def test_notebooks_of_two_machines() -> None:
    packed, own = book(), book()
    first, second, third = packed["cells"][1]["outputs"]
    pieces = [{**first, "text": [line]} for line in first["text"]]  # as a kernel sends them by chance
    pieces[0]["text"] = ["PixelDiff 52.2079 px\n"]
    packed["cells"][1]["outputs"] = [*pieces, copy.deepcopy(second), third]
    packed["cells"][1]["outputs"][2]["data"]["image/jpeg"] = drawn(quality=87)
    assert list(compare.notebooks(packed, own)) == []


def printed(text: str, title: str = "T") -> bytes:
    return typst.compile(f'#set document(title: "{title}", author: "Ada", date: none)\n{text}'.encode())


PAGES = "PixelDiff 12.345 px #pagebreak() The end"


def pdf(change: Callable[[pypdf.PdfWriter], object]) -> bytes:
    writer, written = pypdf.PdfWriter(clone_from=io.BytesIO(printed(PAGES))), io.BytesIO()
    change(writer)
    writer.write(written)
    return written.getvalue()


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (lambda: b"", "no PDF that can be read"),
        (lambda: b"%PDF-1.7 and no more", "no PDF that can be read"),
        (lambda: printed(PAGES)[:900], "no PDF that can be read"),
        (lambda: printed(PAGES.replace("12.345", "2.345")), "page 1 says 'PixelDiff 2.345' where 'PixelDiff 12.345'"),
        (lambda: printed(PAGES.replace("end", "best")), "page 2 says 'The best' where 'The end' belongs"),
        (lambda: printed(f"{PAGES} #pagebreak() More"), "3 pages instead of 2"),
        (lambda: printed(PAGES.partition("#")[0]), "1 pages instead of 2"),
        (lambda: printed(PAGES, "Another"), "Title is 'Another'"),
        (lambda: pdf(lambda it: it.add_open_action(JavaScript("app.alert(1)"))), "it holds Names"),
        (lambda: pdf(lambda it: it.add_attachment("a.txt", b"a")), "Names, which has no place in it"),
        (lambda: pdf(lambda it: it.add_metadata({"/Author": "Bob"})), "Author is 'Bob'"),
        (lambda: pdf(lambda it: it.encrypt("secret", algorithm="RC4-128")), "no PDF that can be read"),
        (lambda: pdf(lambda it: it.add_blank_page()), "3 pages instead of 2"),
    ],
)
def test_another_pdf(packed: Callable[[], bytes], said: str) -> None:
    assert said in compare.pages(packed(), printed(PAGES))


def test_the_same_words_in_another_pdf() -> None:
    assert compare.pages(printed(PAGES), printed(PAGES)) == ""
    assert compare.pages(printed(f'#set text(fill: red, font: "DejaVu Sans Mono")\n{PAGES}'), printed(PAGES)) == ""


def test_a_link_is_named() -> None:
    linked = printed(PAGES.replace("PixelDiff", '#link("https://a.b")[PixelDiff]'))
    assert "https://a.b" in compare.pages(linked, printed(PAGES))
    inside = f"= A <a>\n#link(<a>)[there] {PAGES}"
    assert compare.pages(printed(inside), printed(inside)) == ""
    assert "a link inside" in compare.pages(printed(inside), printed(inside.replace("#link(<a>)[there]", "there")))


@pytest.mark.parametrize("content", ['{"a": 1, "a": 2}', '{"b": [{"a": 1, "a": 1}]}', '{"a": NaN}', "[Infinity]", "{"])
def test_json_that_readers_see_differently(content: str) -> None:
    with pytest.raises(ValueError, match=r"twice|is no number|Expecting"):
        strict_json.parse(content)


def test_json_with_constants() -> None:
    assert strict_json.parse(b'[1, "\xc3\xa9", -Infinity]', constants=True) == [1, "é", -float("inf")]
    with pytest.raises(ValueError, match="decode"):
        strict_json.parse(b'"\xff"')
