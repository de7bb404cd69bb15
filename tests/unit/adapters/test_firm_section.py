"""A firm's part of the file comes out, goes back in, and nothing else in the file ever says anything different."""
# ruff: noqa: E501

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.config_samples import FIRM, OTHER, TRADERS
from tests.properties.budget import examples

from regime_trading.adapters.firm_section import cut, put
from regime_trading.adapters.yaml_text import parse_yaml
from regime_trading.core.errors import BadInput
from regime_trading.core.settings import InvalidConfig

SHIPPED = (Path(__file__).parents[3] / "config" / "traders.yaml").read_text()
SAMPLE = TRADERS % "shadow"
SMALL = """\
firms:
  - id: north-pier
    risk: {a: "1"} # c
    accounts:
      - id: core

# between
  - id: kestrel-lane
    name: 'x'
presets: {}
"""
PIECES = (
    "\n", " ", "  ", "    ", "- ", "-", "id: kestrel-lane", "id: x", "x: 1", '"', "'", "|", "|+", ">", "{", "}", "[", "]",
    "# c", "---", "...", "&a", "*a", "\t", "\r\n", "\u2028", "\x85", "firms:", "presets:", ": ", ",", "<<", "!t", "\ufeff", "é",
)  # fmt: skip


@pytest.mark.parametrize("text", [SAMPLE, SHIPPED], ids=["sample", "shipped"])
@pytest.mark.parametrize("firm", [FIRM, OTHER])
@pytest.mark.parametrize("breaks", ["\n", "\r\n"])
def test_what_comes_out_goes_back_byte_for_byte(text: str, firm: str, breaks: str) -> None:
    written = text.replace("\n", breaks)
    section = cut(written, firm)
    assert put(written, firm, section.document) == written
    assert parse_yaml(section.document.encode(), "d")[0] == next(
        one for one in parse_yaml(text.encode(), "f")[0]["firms"] if one["id"] == firm
    )
    first = text.split("\n")[section.first_line - 1]
    assert first.endswith(section.document.split("\n")[0])


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ("firms:\n- id: a\n  x: 1\n", "id: a\nx: 1\n"),
        ("firms:\n  -   id: a\n      x: 1", "id: a\nx: 1\n"),
        ("firms:\n  - # of a\n    id: a\n    x:\n  # of b\n  - id: b\n", "# of a\nid: a\nx:\n"),
        ("firms:\n  -\n\n    id: a\n    x: |\n      one\n\n      two\n\n  - id: b\n", "\n\nid: a\nx: |\n  one\n\n  two\n"),
        ("firms:\n  - id: a\n    x: 1\n    # deep\n\n   # deeper than the dash\n\n# not\n  - id: b\n", "id: a\nx: 1\n# deep\n\n# deeper than the dash\n"),
        ("firms:\n  - id: a\n    x: {a: 1,\n      b: 2} # c\nlast: 1\n", "id: a\nx: {a: 1,\n  b: 2} # c\n"),
    ],
)  # fmt: skip
def test_where_a_section_begins_and_ends(text: str, document: str) -> None:
    assert cut(text, "a").document == document
    after = put(text, "a", document)
    assert after.replace("    # deeper", "   # deeper").rstrip("\n") == text.rstrip("\n")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("firms: [{id: a}]\n", "another layout"),
        ("firms:\n  - {id: a}\n", "another layout"),
        ("firms:\n  - id: a # \u2028\n", "another layout"),
        ("firms:\n  - id: b\n", "0 times"),
        ("firms:\n  - id: a\n  - id: a\n", "2 times"),
        ("firms: 3\n", "a list of firms"),
        ("a: [\n", "YAML"),
    ],
)
def test_other_layouts_are_refused(text: str, match: str) -> None:
    with pytest.raises(BadInput, match=match):
        cut(text, "a")


@pytest.mark.parametrize(
    "document",
    [
        'id: north-pier\nx: "\n',
        "id: north-pier\nx: 1\u2028  - id: evil\u2028    name: x\n",
        "id: north-pier\nx: 1\x85firms: []\n",
        "id: north-pier\nx: 1\rfirms: []\n",
        "id: north-pier\nx: |+\n  a\n\n\n",
        "id: kestrel-lane\n",
        "name: x\n",
        "- id: north-pier\n",
        "--- \nid: north-pier\n...\n",
        "",
    ],
)
def test_no_document_leaves_its_place(document: str) -> None:
    try:
        after = put(SAMPLE, FIRM, document)
    except BadInput:
        return
    _only_ours(SAMPLE, after, document)


def _only_ours(text: str, after: str, document: str) -> None:
    before, found = (parse_yaml(one.encode(), "f")[0] for one in (text, after))
    assert found["firms"][0] == parse_yaml(document.encode(), "d")[0]
    assert {**found, "firms": found["firms"][1:]} == {**before, "firms": before["firms"][1:]}
    section = cut(text, FIRM)
    assert after.startswith(text[: section.start]) and after.endswith(text[section.end :])


@examples()
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), st.integers(0, 70))
@example("\u2028", 20)
def test_no_words_anywhere_in_a_document_reach_the_rest(words: str, place: int) -> None:
    document = cut(SMALL, FIRM).document
    place = min(place, len(document))
    changed = document[:place] + words + document[place:]
    try:
        after = put(SMALL, FIRM, changed)
    except BadInput:
        return
    _only_ours(SMALL, after, re.sub(r"\r\n", "\n", changed))


def test_an_anchor_that_others_use_may_not_change_what_it_says() -> None:
    text = "firms:\n  - id: a\n    risk: &r {gross: '1'}\n  - id: b\n    risk: *r\n"
    same = put(text, "a", "id: a\nname: x\nrisk: &r {gross: '1'}\n")
    assert parse_yaml(same.encode(), "f")[0]["firms"][1] == {"id": "b", "risk": {"gross": "1"}}
    for document in ("id: a\nrisk: &r {gross: '2'}\n", "id: a\nrisk: {}\n"):
        with pytest.raises(InvalidConfig, match="nothing else"):
            put(text, "a", document)
    with pytest.raises(BadInput, match="alias"):
        put(text, "b", "id: b\nrisk: *r\n")
