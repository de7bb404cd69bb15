"""The catalogue, what each class takes, and completion by role."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.budget import examples
from tests.vectors.command_cases import least

from regime_trading.core.access import Answer, Caller, Grant, Permission, Principal, Role, Target, may
from regime_trading.core.commands.catalogue import ALIASES, BY_VERB, CATALOGUE, find_spec
from regime_trading.core.commands.completion import Candidates, What, complete, needs, recent_of
from regime_trading.core.commands.grammar import parse
from regime_trading.core.commands.policy import UNSAFE, Takes, class_of, takes
from regime_trading.core.commands.spec import CommandSpec, Klass
from regime_trading.core.config_diff import Direction
from regime_trading.core.schemas import Mode

FREE = Takes()
ONE_CONFIRM = Takes(confirm=True)
ALONE = Takes(confirm=True, phrase=True, reason=True, step_up=True)
TWO = Takes(confirm=True, phrase=True, reason=True, step_up=True, second=True)


def person(role: Role, **more: object) -> Principal:
    return Principal("u1", (Grant("alpha", role),), second_factor=True, **more)  # type: ignore[arg-type]


# --- catalogue ------------------------------------------------------------------------------------------------


def test_a_command_is_there_once_and_every_alias_means_one() -> None:
    names = [(spec.verb, spec.object) for spec in CATALOGUE]
    assert len(set(names)) == len(names)
    assert all(find_spec(*meant).object == meant[1] for meant in ALIASES.values())
    assert not set(ALIASES) & set(names)
    for specs in BY_VERB.values():
        assert sum(spec.default for spec in specs) <= 1
        assert len(specs) == 1 or all(spec.takes is None for spec in specs)


@pytest.mark.parametrize("spec", CATALOGUE, ids=lambda spec: spec.name)
def test_a_command_stands_for_one_rest_call_made_of_its_keys(spec: CommandSpec) -> None:
    """The firm is that of the account; what has no call of its own goes through a preview. That each call is there is
    held where the server is."""
    if spec.call is None:
        assert spec.klass in (Klass.LOCAL, Klass.READ) and spec.permission is None
        return
    keys = {key.name for key in spec.keys}
    in_path = set(re.findall(r"{(\w+)}", spec.call.path))
    previewed = spec.call.path.endswith("/commands/preview")
    assert in_path <= keys | {"firm"}
    assert spec.call.body == ("command",) if previewed else set(spec.call.body) <= keys - in_path
    assert (spec.call.method == "GET") == (spec.klass is Klass.READ)


@pytest.mark.parametrize(
    ("text", "kill", "permission"),
    [
        ("/halt account account:a/b", "K1", Permission.HALT),
        ("/halt firm", "K1", Permission.KILL_FIRM),
        ("/kill account account:a/b level:K3", "", Permission.KILL),
        ("/flatten account account:a/b", "K3", Permission.KILL),
    ],
)
def test_what_stops_takes_one_confirm_and_nothing_more(text: str, kill: str, permission: Permission) -> None:
    command = parse(text)
    spec = find_spec(command.verb, command.object)
    assert (spec.kill, spec.permission, spec.klass) == (kill, permission, Klass.TIGHTEN)
    assert all(takes(spec.klass, mode) == ONE_CONFIRM for mode in (None, *Mode))


def test_a_live_mode_is_refused_with_the_reason_and_no_override_loosens() -> None:
    assert "not built" in find_spec("live", "enable").not_built
    assert [spec.name for spec in CATALOGUE if spec.not_built] == ["/live enable"]
    assert [spec.name for spec in CATALOGUE if spec.internal] == ["/release run"]
    assert class_of(find_spec("override", "rule"), Direction.LOOSENS) in UNSAFE


# --- policy ---------------------------------------------------------------------------------------------------

POLICY = {
    Klass.LOCAL: (FREE, FREE, FREE, FREE),
    Klass.READ: (FREE, FREE, FREE, FREE),
    Klass.RUN: (FREE, FREE, FREE, FREE),
    Klass.PROPOSE: (ONE_CONFIRM,) * 4,
    Klass.TIGHTEN: (ONE_CONFIRM,) * 4,
    Klass.NEUTRAL: (ONE_CONFIRM,) * 4,
    Klass.LOOSEN: (TWO, ALONE, TWO, TWO),
    Klass.LIVE: (TWO, TWO, TWO, TWO),
    Klass.MONEY: (TWO, ALONE, TWO, TWO),
}


@pytest.mark.parametrize("klass", Klass)
def test_what_a_class_takes(klass: Klass) -> None:
    found = tuple(takes(klass, mode) for mode in (None, Mode.DRY_RUN, Mode.SHADOW, Mode.GATED_LIVE))
    assert found == POLICY[klass]
    assert not takes(klass, None, itself_second=True).second


@pytest.mark.parametrize(("spec", "direction"), list(product(CATALOGUE, Direction)))
def test_a_class_follows_from_the_effect_and_never_gets_safer(
    spec: CommandSpec, direction: Direction
) -> None:
    klass = class_of(spec, direction)
    assert (direction is Direction.LOOSENS) <= (klass in UNSAFE)
    if not spec.computed:
        assert klass is spec.klass or (klass is Klass.LOOSEN and spec.klass not in UNSAFE)
    else:
        assert (
            klass is {"loosens": Klass.LOOSEN, "tightens": Klass.TIGHTEN, "neutral": Klass.NEUTRAL}[direction]
        )


# --- completion -----------------------------------------------------------------------------------------------

ACCOUNTS = ("alpha/core", "alpha/main", "alpha/north")
KNOWN = Candidates({"account": ACCOUNTS, "rule": ("CC-01", "LD-01"), "run": ("run-1", "run-2")})


def texts(text: str, role: Role = Role.ADMIN, known: Candidates = KNOWN) -> list[str]:
    return [row.text for row in complete(text, person(role), known)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/ha", ["halt"]),
        ("/halt ", ["account", "firm", "account:", "reason:"]),
        ("/halt ac", ["account", "account:"]),
        ("/halt account ", ["account:", "reason:"]),
        ("/halt account account:a/b ", ["reason:"]),
        ("/halt account:", list(ACCOUNTS)),
        ("/halt account:@alpha/m", ["alpha/main"]),
        ("/halt account account:north", ["alpha/north"]),
        ("/kill account level:", ["K2", "K3"]),
        ("/override rule rule:LD", ["LD-01"]),
        ("/override rule value:1.5", ["1.5%", "1.5bp", "1.5x", "1.5usd"]),
        ("/flatten max_slippage:5", ["5%", "5bp", "5x"]),
        ("/run backtest account:alpha/core,alpha/c", []),
        ("/run backtest account:alpha/core,alpha/m", ["alpha/main"]),
        ("/run backtest --", ["--json", "--watch", "--dry-run"]),
        ("/run backtest --json --w", ["--watch"]),
        ("/theme d", ["dark"]),
        ("/go port", ["portfolio"]),
        ("/nothing ", []),
        ("halt", []),
        ("", []),
    ],
)
def test_what_may_follow(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


def test_needed_keys_come_first_and_say_so() -> None:
    rows = complete("/override rule ", person(Role.PM), KNOWN)
    assert [(row.text, row.required) for row in rows] == [
        ("account:", True), ("rule:", True), ("value:", True), ("until:", True), ("reason:", False),
    ]  # fmt: skip
    assert rows[0].what is What.KEY


def test_the_order_is_prefix_then_scope_then_recent_then_the_rest() -> None:
    recent = recent_of(["/halt account:alpha/north", "nonsense", "/kill account:alpha/main level:K2"])
    assert recent["verb"] == ["halt", "kill"] and recent["account"] == ["alpha/north", "alpha/main"]
    assert texts("/", known=Candidates(recent=recent))[:2] == ["halt", "kill"]
    lately = Candidates(KNOWN.values, recent=recent)
    assert texts("/halt account:", known=lately) == ["alpha/north", "alpha/main", "alpha/core"]
    scoped = Candidates(KNOWN.values, ("alpha/main",), recent)
    assert texts("/halt account:", known=scoped) == ["alpha/main", "alpha/north", "alpha/core"]
    assert texts("/halt account:alpha/n", known=scoped)[0] == "alpha/north"


def test_a_row_outside_the_role_is_absent_but_typed_in_full() -> None:
    assert "flatten" not in texts("/", Role.ANALYST) and texts("/flatte", Role.ANALYST) == []
    (row,) = complete("/flatten", person(Role.ANALYST), KNOWN)
    assert (row.text, row.needs) == ("flatten", "needs PM")
    assert texts("/flatten ", Role.ANALYST) == []
    assert [r.needs for r in complete("/halt firm", person(Role.ANALYST), KNOWN)] == ["needs PM"]
    assert texts("/halt ", Role.ANALYST) == ["account", "account:", "reason:"]
    assert needs(find_spec("halt", "account"), person(Role.VIEWER)) == "needs Analyst"
    assert needs(find_spec("live", "enable"), person(Role.ADMIN)) == "needs PM"
    assert needs(find_spec("help", ""), person(Role.VIEWER)) == ""


@pytest.mark.parametrize("role", Role)
def test_every_row_is_one_that_the_role_may_use(role: Role) -> None:
    who = person(role)
    for verb in (row.text for row in complete("/", who, KNOWN)):
        assert any(not needs(spec, who) for spec in BY_VERB[verb])
        for row in complete(f"/{verb} ", who, KNOWN):
            if row.what is What.OBJECT and BY_VERB[verb][0].takes is None:
                spec = find_spec(verb, row.text)
                answer = may(who, spec.permission, Target("alpha"), 0) if spec.permission else Answer.ALLOWED
                assert answer in (Answer.ALLOWED, Answer.STEP_UP)


def test_a_token_is_offered_what_it_is_for() -> None:
    token = person(Role.PM, caller=Caller.TOKEN, permissions=frozenset({Permission.HALT}))
    assert [r.text for r in complete("/ha", token, KNOWN)] == ["halt"]
    assert [r.text for r in complete("/halt ", token, KNOWN)] == ["account", "account:", "reason:"]


@given(spec=st.sampled_from(CATALOGUE), cut=st.integers(0, 80), role=st.sampled_from(list(Role)))
@examples(300)
def test_completion_never_fails_and_stays_in_the_text(spec: CommandSpec, cut: int, role: Role) -> None:
    text = least(spec, every=True)[:cut]
    for row in complete(text, person(role), KNOWN):
        assert 0 <= row.start <= row.end == len(text)


@given(text=st.text(max_size=80).map(lambda text: f"/{text}"))
@examples(300)
def test_completion_takes_any_text(text: str) -> None:
    assert all(row.end <= len(text) for row in complete(text, person(Role.ADMIN), KNOWN))
