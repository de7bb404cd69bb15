"""The grammar: vectors for every parser, and what holds for every text there is."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.budget import examples
from tests.vectors.command_cases import BAD, FILE, GOOD, least, sample, told, vectors

from regime_trading.core.commands.catalogue import ALIASES, BY_VERB, CATALOGUE, find_spec
from regime_trading.core.commands.faults import Code, ParseError
from regime_trading.core.commands.grammar import MAX_LENGTH, parse
from regime_trading.core.commands.spec import CommandSpec
from regime_trading.core.commands.values import Kind, Type, Value, instant_ns, quoted

CASES = json.loads(FILE.read_text(encoding="utf-8"))
DAY_NS = 86_400_000_000_000


# --- vectors --------------------------------------------------------------------------------------------------


def test_the_vectors_on_disk_are_those_of_the_cases() -> None:
    assert vectors() == CASES, "run `make docs`"
    assert len(CASES) >= 150


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["text"][:60])
def test_a_vector_holds(case: dict[str, object]) -> None:
    assert told(str(case["text"])) == case


def test_no_command_no_code_and_no_alias_is_without_a_vector() -> None:
    meant = {(c["command"]["verb"], c["command"]["object"]) for c in CASES if "command" in c}
    assert {(s.verb, s.object) for s in CATALOGUE if s.takes is None} <= meant
    assert {s.verb for s in CATALOGUE if s.takes} <= {verb for verb, _ in meant}
    assert {c["error"]["code"] for c in CASES if "error" in c} == {code.value for code in Code}
    said = {c["command"]["resolved_from"] for c in CASES if "command" in c}
    assert {f"/{verb} {noun}" for verb, noun in ALIASES} <= said


def test_a_case_is_written_once() -> None:
    texts = [text for text, _ in GOOD] + [text for text, _, _ in BAD]
    assert len(set(texts)) == len(texts)


# --- what a fault offers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("/hlat account:a/b", "halt"),
        ("/run bactest", "backtest"),
        ("/halt acount:a/b", "account"),
        ("/kill account:a/b level:k3", "K3"),
        ("/run regime --jso", "--json"),
        ("/config set account:a/b risk.gross:1.5bps", "bp"),
        ("/kill account:a/b", "level"),
    ],
)
def test_the_nearest_names_are_offered_and_never_used(text: str, first: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(text)
    assert caught.value.fault.suggestions[0] == first
    assert caught.value.exit_code == 2


# --- every text -----------------------------------------------------------------------------------------------

BITS = st.sampled_from(
    ["/", '"', "\\", ",", ":", "--", " ", "@", "#", "%", "1.5", "bp", "risk.gross:", "account:a/b", "é", "😀"]
)
SPECS = st.sampled_from(CATALOGUE)
NEAR = st.builds(
    lambda spec, cut, bits: least(spec, every=True)[:cut] + "".join(bits),
    SPECS, st.integers(0, 120), st.lists(BITS, max_size=5),
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=200), NEAR, st.lists(BITS, max_size=40).map("".join))


@given(text=TEXTS)
@examples()
def test_a_text_is_a_command_or_has_a_fault_with_a_place_and_legal_suggestions(text: str) -> None:
    try:
        command = parse(text)
    except ParseError as error:
        fault = error.fault
        assert 0 <= fault.at <= len(text) and len(fault.suggestions) <= 3
        assert all(_legal(fault.code, one) for one in fault.suggestions)
        return
    again = parse(command.render())
    assert (again, again.render()) == (command, command.render())
    assert again.resolved_from == ""
    spec = find_spec(command.verb, command.object)
    assert {pair.key for pair in command.pairs} >= {key.name for key in spec.keys if key.required}


def _legal(code: Code, name: str) -> bool:
    """Whether a suggestion is a name the grammar knows in that place."""
    keys = {key.name for spec in CATALOGUE for key in spec.keys}
    objects = {spec.object for spec in CATALOGUE} | {noun for _, noun in ALIASES}
    choices = {c for spec in CATALOGUE for key in (*spec.keys, spec.takes) if key for c in key.choices}
    return {
        Code.UNKNOWN_VERB: name in BY_VERB,
        Code.UNKNOWN_OBJECT: name in objects | choices | set(BY_VERB),
        Code.MISSING_OBJECT: name in objects | choices | set(BY_VERB),
        Code.UNKNOWN_KEY: name in keys,
        Code.MISSING_KEY: name in keys,
        Code.UNKNOWN_FLAG: name.removeprefix("--") in {flag for spec in CATALOGUE for flag in spec.flags},
        Code.BAD_UNIT: name in ("%", "bp", "x", "usd"),
        Code.BAD_VALUE: name in choices,
    }[code]


@given(spec=SPECS, every=st.booleans())
@examples(200)
def test_every_command_of_the_catalogue_is_its_own_normal_form(spec: CommandSpec, every: bool) -> None:
    text = least(spec, every=every)
    assert parse(text).render() == text


@given(text=st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF), max_size=60).filter(str.strip))
@examples(200)
def test_any_text_that_can_be_seen_survives_quoting(text: str) -> None:
    said = f"/halt account:a/b reason:{quoted(text)}"
    try:
        assert parse(said).text("reason") == text
    except ParseError as error:
        assert error.fault.code is Code.BAD_CHARACTER and ord(said[error.fault.at]) > 126


@given(amount=st.decimals(min_value=0, max_value=999_999, places=8).map(lambda d: format(d, "f")))
@examples(200)
def test_one_fraction_whatever_its_unit(amount: str) -> None:
    def read(text: str) -> tuple[Kind, str]:
        value = parse(f"/config set account:a/b risk.gross:{text}").values("risk.gross")[0]
        return value.kind, value.text

    kind, text = read(f"{amount}bp")
    whole, _, digits = amount.partition(".")
    shifted = f"{whole.zfill(5)[:-4]}.{whole.zfill(5)[-4:]}{digits}".lstrip("0") or "0"
    assert kind is Kind.FRACTION and float(text) == pytest.approx(float(shifted), abs=1e-15)
    assert read(f"{text[:28]}x")[1] == text[:28] or len(text) > 14


HOSTILE = (
    lambda n: "/" * n,
    lambda n: "/halt account:a/b " + "x" * n,
    lambda n: '/halt account:a/b reason:"' + '\\"' * (n // 2),
    lambda n: '/halt account:a/b reason:"' + "\\" * n,
    lambda n: "/config set account:a/b risk.g:" + "9" * n,
    lambda n: "/config set account:a/b risk.g:" + "." * n + "x",
    lambda n: "/config set account:a/b " + " ".join(f"a.{i}:1x" for i in range(n // 10)),
    lambda n: "/run regime symbol:" + "A," * (n // 2),
    lambda n: "/run regime" + " " * n + "--json",
    lambda n: "/go /runs" + "/a" * (n // 2),
    lambda n: "/" + "halt" * (n // 4),
    lambda n: "/halt " + "account" * (n // 7),
)


@pytest.mark.parametrize("make", HOSTILE)
def test_time_grows_with_the_length_and_no_faster(make: object) -> None:
    def least_s(n: int) -> float:
        text = make(n)[:MAX_LENGTH]  # type: ignore[operator]
        best = 1.0
        for _ in range(7):
            begun = time.thread_time()
            told(text)
            best = min(best, time.thread_time() - begun)
        return best

    small, large = least_s(200), least_s(2_000)
    assert large < 0.02 and large < 40 * small + 0.002


# --- values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text", "then_ns"),
    [
        (Kind.DURATION, "30m", 1_800_000_000_000 + 7),
        (Kind.DURATION, "1w", 7 * DAY_NS + 7),
        (Kind.DATE, "1970-01-02", DAY_NS),
        (Kind.DATE, "1970-01-02T00:00:01Z", DAY_NS + 1_000_000_000),
        (Kind.DATE, "2261-12-31T23:59:59Z", 9_214_646_399_000_000_000),
    ],
)
def test_an_instant_is_a_date_or_so_long_from_now(kind: Kind, text: str, then_ns: int) -> None:
    assert instant_ns(Value(kind, text), 7) == then_ns


def test_every_type_of_key_has_a_sample() -> None:
    keys = [key for spec in CATALOGUE for key in spec.keys]
    assert {key.type for key in keys} >= set(Type) - {Type.CHOICE}
    assert all(sample(key) for key in keys)
