import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from search.dashboard.parts.gallery import gallery
from search.results.answers import RANKS, Answers, Example
from search.results.skeleton import SIDE

VOID = {"img", "br"}


class Tags(HTMLParser):
    """Every element with its attributes; fails where tags don't match."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(source)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, tag: str, name: str = "") -> list[dict[str, str | None]]:
        return [
            attrs
            for found, attrs in self.found
            if found == tag and (not name or name in (attrs.get("class") or "").split())
        ]


def answers(points: int, edges: list[list[int]], each: int = 4, spread: float = 0.02) -> Answers:
    rng = np.random.default_rng(0)
    examples = []
    for rank in RANKS:
        for _ in range(each):
            true = rng.uniform(0.2, 0.8, (points, 2))
            answered = true + rng.normal(0, spread, true.shape)
            examples.append(Example(rank, len(examples) * 7, 1.5, answered.tolist(), true.tolist()))
    return Answers(1, [f"p{i}" for i in range(points)], edges, [1.0] * points, [1.0] * 201, examples, "px")


def square(_: int) -> tuple[int, int]:
    return 1, 1


def href(row: int) -> str:
    return f"file/study/pictures/{row}.jpg?a=1&b=2"


def test_three_rows_of_four_cards_in_order() -> None:
    page = Tags(gallery(answers(21, [[0, 1], [1, 2]]), href, square))
    assert [word for word in page.words if word in RANKS] == list(RANKS)
    pictures = page.of("img")
    assert [image["src"] for image in pictures] == [href(row) for row in range(0, 84, 7)]
    assert pictures[0]["alt"] == "best validation image, row 0, 1.500 px"
    assert len(page.of("figcaption")) == 12
    assert len(page.of("p", "gallery-legend")) == 1
    assert len(page.of("svg", "over")) == 12


def test_skeletons_lie_where_the_points_are() -> None:
    example = Example("best", 3, 2.0, [[0.5, 0.5], [0.75, 0.25]], [[0.25, 0.5], [1.0, 0.0]])
    page = Tags(gallery(Answers(1, ["a", "b"], [[0, 1]], [1, 1], [1.0] * 201, [example]), href, square))
    over = page.of("svg", "over")[0]
    assert over["viewbox"] == f"0 0 {SIDE} {SIDE}"
    half, quarter = SIDE / 2, SIDE / 4
    paths = page.found[page.found.index(("svg", over)) :]
    lines = {attrs["class"]: attrs["d"] for tag, attrs in paths if tag == "path"}
    assert lines["true"] == f"M{quarter:.1f} {half:.1f}L{SIDE:.1f} 0.0"
    assert lines["answered"] == f"M{half:.1f} {half:.1f}L{3 * quarter:.1f} {quarter:.1f}"
    assert (
        lines["miss"]
        == f"M{quarter:.1f} {half:.1f}L{half:.1f} {half:.1f}M{SIDE:.1f} 0.0L{3 * quarter:.1f} {quarter:.1f}"
    )
    centres = {(attrs["cx"], attrs["cy"]) for attrs in page.of("circle", "true-point")[1:]}  # the first is the legend's
    assert centres == {(f"{quarter:.1f}", f"{half:.1f}"), (f"{SIDE:.1f}", "0.0")}


@pytest.mark.parametrize("point", [(-0.5, 0.5), (1.7, 0.5), (0.5, -3.0), (2.0, 2.0), (-0.001, 0.3)])
def test_a_point_outside_is_shown_at_the_edge(point: tuple[float, float]) -> None:
    example = Example("worst", 0, 99.0, [list(point)], [[0.5, 0.5]])
    page = Tags(gallery(Answers(1, ["a"], [], [1], [1.0] * 201, [example]), href, square))
    (mark,) = page.of("path", "answered-point")
    corners = np.array(re.findall(r"-?[\d.]+", mark["d"] or ""), float).reshape(-1, 2)
    assert (corners >= -5).all()
    assert (corners <= SIDE + 5).all()
    # The tip is the corner that is nearest to the point itself.
    away = np.linalg.norm(corners - np.array(point) * SIDE, axis=1)
    assert away.argmin() == 0


def test_many_points_without_edges_are_smaller() -> None:
    few, lots = (Tags(gallery(answers(points, [], each=1), href, square)) for points in (21, 68))
    sizes = [float(page.of("circle", "answered-point")[-1]["r"] or 0) for page in (few, lots)]
    assert sizes[1] < sizes[0]
    assert len(lots.of("circle", "answered-point")) == 3 * 68 + 1
    assert not lots.of("path", "answered")[1:]  # but for the legend's


def test_pictures_of_a_task_without_points_have_captions_alone() -> None:
    page = Tags(
        gallery(Answers(1, ["class"], [], [0.3], [1.0] * 201, [Example("best", 5, 0.25, [], [])], "bit"), href, square)
    )
    assert len(page.of("img")) == 1
    assert not page.of("svg")
    assert "0.2500 bit" in page.words


def test_an_answer_in_words_stands_below_its_picture_in_the_answers_own_unit() -> None:
    hostile = "<b>scale</b> 0.91, true: rotation"
    example = Example("worst", 5, 0.00217, [], [], hostile)
    page = Tags(gallery(Answers(1, ["class"], [], [0.3], [1.0] * 201, [example], "nats"), href, square))
    assert not page.of("b")
    assert hostile in page.words
    assert "0.002170 nats" in page.words


@pytest.mark.parametrize(("sides", "frame"), [((320, 240), (240, 180)), ((100, 300), (80, 240)), ((7, 7), (240, 240))])
def test_a_picture_keeps_its_shape(sides: tuple[int, int], frame: tuple[float, float]) -> None:
    example = Example("best", 3, 2.0, [[1.0, 1.0]], [[0.5, 0.5]])
    answered = Answers(1, ["a"], [], [1], [1.0] * 201, [example])
    page = Tags(gallery(answered, href, lambda row: {3: sides}[row]))
    assert page.of("svg", "over")[0]["viewbox"] == f"0 0 {frame[0]:g} {frame[1]:g}"
    (true, answer) = page.of("circle", "true-point")[1], page.of("circle", "answered-point")[1]
    assert (float(true["cx"] or 0), float(true["cy"] or 0)) == (frame[0] / 2, frame[1] / 2)
    assert (float(answer["cx"] or 0), float(answer["cy"] or 0)) == frame
    assert f"aspect-ratio: {sides[0]} / {sides[1]}" in (page.of("div", "frame")[0]["style"] or "")


def test_a_point_that_is_not_known_is_not_joined() -> None:
    example = Example("best", 3, 2.0, [[0.2, 0.2], [0.4, 0.4], [0.6, 0.6]], [[0.2, 0.3], None, [0.6, 0.7]])
    answered = Answers(1, ["a", "b", "c"], [[0, 1], [1, 2], [0, 2]], [1, None, 1], [1.0] * 201, [example])
    page = Tags(gallery(answered, href, square))
    assert len(page.of("circle", "true-point")) == 2 + 1  # and the legend's
    assert len(page.of("circle", "answered-point")) == 2 + 1
    assert len(page.of("circle", "unjudged-point")) == 1 + 1
    lines = {attrs["class"]: attrs["d"] or "" for attrs in page.of("path") if (attrs["d"] or "").count("M") and attrs}
    assert lines["miss"].count("M") == 2
    assert lines["true"].count("M") == lines["answered"].count("M") == 1


def test_a_sentence_where_there_is_none() -> None:
    for nothing in (None, Answers(1, [], [], [], [0.0] * 201, [])):
        page = Tags(gallery(nothing, href, square))
        assert [tag for tag, _ in page.found] == ["p"]
        assert "".join(page.words).endswith(".")


def test_hostile_texts_stay_text() -> None:
    hostile = '"><script>alert(1)</script>'
    page = Tags(gallery(replace(answers(2, [[0, 1]], each=1), unit=hostile), lambda row: f"{hostile}{row}", square))
    assert not page.of("script")
    assert page.of("img")[0]["src"] == f"{hostile}0"
    assert f"1.500 {hostile}" in page.words
