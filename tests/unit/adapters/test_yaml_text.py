"""Strict YAML: exact values, a line for every key, and nothing two readers could read differently."""

from __future__ import annotations

import io
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from regime_trading.adapters.yaml_text import MAX_BYTES, parse_yaml, read_yaml
from regime_trading.core.errors import BadInput


def parse(text: str) -> object:
    return parse_yaml(text.encode(), "f.yaml")[0]


def refused(text: str | bytes) -> str:
    with pytest.raises(BadInput) as error:
        parse_yaml(text if isinstance(text, bytes) else text.encode(), "f.yaml")
    assert error.value.exit_code == 2
    return str(error.value)


def test_values_are_exact() -> None:
    text = 'a: {i: 3, m: -7, d: 0.10, q: "0.10", t: true, f: False, none: null, tilde: ~, s: plain text, e: }'
    a = parse(text)
    assert a == {
        "a": {"i": 3, "m": -7, "d": Decimal("0.10"), "q": "0.10", "t": True, "f": False, "none": None}
        | {"tilde": None, "s": "plain text", "e": None}
    }
    assert str(a["a"]["d"]) == "0.10"  # type: ignore[index]


def test_every_key_has_its_line() -> None:
    _, text = parse_yaml(b"a:\n  b: 1\n  c:\n    - x\n    - {d: 2,\n       e: 3}\n", "f.yaml")
    assert text.file == "f.yaml"
    assert [text.line(path) for path in [("a",), ("a", "b"), ("a", "c", 1, "d"), ("a", "c", 1, "e")]] == [
        1,
        2,
        5,
        6,
    ]
    assert text.line(("a", "b", "missing")) == 2


AMBIGUOUS = [
    "17:00", "09:30", "1:30:00", "off", "NO", "yes", "On", "y", "N", "1e-3", "1.5e3", ".5", "5.", "010", "0x1F",
    "0o17", "1_000", ".inf", "-.inf", ".nan", "2020-01-01", "2020-01-01T00:00:00Z",
]  # fmt: skip


@pytest.mark.parametrize("value", AMBIGUOUS)
def test_ambiguous_values_must_be_quoted(value: str) -> None:
    assert refused(f"x: 1\na: {{b: {value}}}").startswith("f.yaml:2 a.b: expected a value that every reader")
    assert parse(f'a: {{b: "{value}"}}') == {"a": {"b": value}}
    if value != "y":
        assert "f.yaml:1" in refused(f"{value}: 1")


def test_one_letter_may_name_a_number() -> None:
    assert parse("steps: [{n: 2, y: 3}]") == {"steps": [{"n": 2, "y": 3}]}
    for key in ("N", "Y", "no", "off"):
        assert "f.yaml:1" in refused(f"{key}: 1")


def test_a_yaml_1_1_header_changes_nothing() -> None:
    for value in ("17:00", "yes", "0b1", "1_0"):
        assert "every reader" in refused(f"%YAML 1.1\n---\na: {value}\n")


@pytest.mark.parametrize(
    ("text", "where", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3 a", "each key once (first on line 1)"),
        ("x:\n  a: 1\n  a: 1\n", "f.yaml:3 x.a", "each key once (first on line 2)"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "f.yaml:3 c", "no merge key"),
        ("a: !!python/object:os.system ls\n", "f.yaml:1 a", "no tag"),
        ("a: 1\nb: !mine {c: 1}\n", "f.yaml:2 b", "no tag"),
        ("a: !!binary aGVsbG8=\n", "f.yaml:1 a", "no tag"),
        ("a: !!set {b, c}\n", "f.yaml:1 a", "no tag"),
        ("a: [1, 2\n", "f.yaml:2", "YAML"),
        ("a: *nope\n", "f.yaml:1", "YAML"),
        ("a: 1\n---\nb: 1\n", "f.yaml:2", "YAML"),
        ("? [a, b]\n: c\n", "f.yaml:1", "text as a key"),
        ("1: a\n", "f.yaml:1", "text as a key"),
        ("- a\n", "f.yaml:1", "a mapping"),
        ("", "f.yaml:1", "a mapping"),
        ("a: \x07\n", "f.yaml", "YAML"),
        ("a: &x [*x]\n", "f.yaml:1", "at most 40 levels"),
        ("a: " + "[" * 5000 + "\n", "f.yaml", "at most"),
    ],
)
def test_refuses(text: str, where: str, expected: str) -> None:
    message = refused(text)
    assert message.startswith(where)
    assert expected in message


def test_an_alias_bomb_costs_little() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "at most 50000 values" in refused("\n".join(lines))
    assert parse("a: &x {b: 1}\nc: *x\n") == {"a": {"b": 1}, "c": {"b": 1}}


def test_size_and_encoding(tmp_path: Path) -> None:
    assert "at most 1048576 bytes" in refused(b"#" * (MAX_BYTES + 1))
    assert parse_yaml(b"a: 1\n#" + b"x" * (MAX_BYTES - 6), "f")[0] == {"a": 1}
    assert "UTF-8" in refused(b"a: \xff\n")
    assert parse_yaml("\ufeffa: é\n".encode(), "f")[0] == {"a": "é"}
    with pytest.raises(BadInput, match="a file that can be read, found No such file"):
        read_yaml(tmp_path / "absent.yaml")
    with pytest.raises(BadInput, match="a file that can be read"):
        read_yaml(tmp_path)


# Made up, and put together here so that no scanner takes this file for a leak.
SECRETS = [
    "AKIA" + "ABCDEFGHIJKLMNOP",
    "sk_live_" + "a1b2c3d4e5f6",
    "ghp_" + "A" * 30,
    "xoxb-" + "1234567890-abc",
    "-----BEGIN RSA " + "PRIVATE KEY-----",
    "eyJhbGciOiJI." + "eyJzdWIiOiIx." + "sig",
    "0123456789abcdef" * 2,
    "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYzEXAMPLEKEY",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_what_looks_like_a_secret_is_refused_and_not_shown(secret: str) -> None:
    message = refused(f'a:\n  note: "{secret}"\n')
    assert message.startswith("f.yaml:2 a.note: expected a reference secret://")
    assert secret not in message


@pytest.mark.parametrize(
    "key", ["api_key", "apikey", "password", "broker-token", "client_secret", "Private_Key"]
)
def test_a_key_that_names_a_secret_takes_references_only(key: str) -> None:
    assert "hunter2" not in refused(f"a:\n  {key}: hunter2\n")
    assert parse(f"{key}: secret://vault/one") == {key: "secret://vault/one"}


def test_ordinary_words_are_no_secrets() -> None:
    words = [
        "eval-100k-two-step-account-of-team-2",
        "information-technology",
        "Europe/Prague",
        "us-election-2020",
    ]
    assert parse("a: [" + ", ".join(words) + "]\ntokens: 3\n") == {"a": words, "tokens": 3}


PLAIN = st.text("aeNOfy x019.:-_#'\"{}[],&*!|>%@`é", max_size=6)
LEAVES = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | PLAIN
TREES = st.recursive(LEAVES, lambda t: st.lists(t, max_size=4) | st.dictionaries(PLAIN, t, max_size=4))


@settings(deadline=None)
@given(st.dictionaries(PLAIN, TREES, max_size=4))
def test_agrees_with_ruamel_wherever_it_reads(tree: dict[str, object]) -> None:
    out = io.StringIO()
    YAML(typ="safe", pure=True).dump(tree, out)
    try:
        assume(YAML(typ="safe", pure=True).load(out.getvalue()) == tree)
    except YAMLError:  # it does not always read what it writes
        reject()
    try:
        assert parse(out.getvalue()) == tree
    except BadInput as error:
        assert "every reader" in str(error)
