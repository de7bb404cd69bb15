"""How versions move on, what they do to accounts, and what holds a loosening back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.config_samples import T, a_version
from tests.unit.core.strategies import risks
from tests.unit.core.test_trader_profile import profile, settings, traders

from regime_trading.core.config_holds import holds, session_end_ns, waits
from regime_trading.core.config_schema import document_schema
from regime_trading.core.config_versions import (
    ConfigVersion,
    VersionConflict,
    VersionStatus,
    effects,
    moved,
    proposal_message,
)
from regime_trading.core.merging import stricter_or_equal
from regime_trading.core.profile_merge import merge_profiles
from regime_trading.core.rules import RULES, Gross
from regime_trading.core.schemas import Mode
from regime_trading.core.settings import InvalidConfig
from regime_trading.core.trader_profile import TraderProfile, in_mode, with_overrides

S = VersionStatus
WAYS = {
    S.DRAFT: {S.PROPOSED, S.APPROVED, S.APPLYING, S.VOID},
    S.PROPOSED: {S.APPROVED, S.APPLYING, S.REJECTED, S.VOID},
    S.APPROVED: {S.APPROVED, S.APPLYING, S.VOID},
    S.APPLYING: {S.APPLIED, S.VOID},
    S.APPLIED: {S.SUPERSEDED},
    S.SUPERSEDED: set(),
    S.REJECTED: set(),
    S.VOID: set(),
}  # fmt: skip


@pytest.mark.parametrize("before", S)
@pytest.mark.parametrize("after", S)
def test_versions_move_in_these_ways_only(before: VersionStatus, after: VersionStatus) -> None:
    version = a_version(status=before)
    if after not in WAYS[before]:
        with pytest.raises(VersionConflict, match=f"found {before.value}"):
            moved(version, after, T + 1, "u-b")
        return
    done = moved(version, after, T + 1, "u-b", detail="why")
    assert (done.status, done.changed_ns, done.by, done.detail) == (after, T + 1, "u-b", "why")
    assert done.payload_hash == version.payload_hash, "what people agree to is not its status"


@pytest.mark.parametrize(
    "more", [{"document": "id: b\n"}, {"parent": 4}, {"version": 3}, {"firm_id": "b"}], ids=str
)
def test_what_people_agree_to_is_all_that_matters(more: dict[str, Any]) -> None:
    assert a_version(**more).payload_hash != a_version().payload_hash


def test_a_version_is_what_it_was_made_of() -> None:
    with pytest.raises(ValidationError, match="document_hash"):
        a_version(document_hash="0" * 64)
    with pytest.raises(ValidationError, match="printable"):
        a_version(reason="two\nlines")
    stored = a_version(request_id="r-1", accounts=effects([profile()], [live(profile({"gross": "0.5"}))])[0])
    assert ConfigVersion.model_validate_json(stored.model_dump_json()) == stored
    assert proposal_message(stored).data.model_dump()["required"] == 2


def live(one: TraderProfile, mode: Mode = Mode.SHADOW) -> TraderProfile:
    return in_mode(one, mode)


@pytest.mark.parametrize(
    ("old", "new", "loosens", "tightens", "approvers", "goes_live"),
    [
        (profile(), profile(), 0, 0, 1, False),
        (profile({"gross": "0.9"}), profile({"gross": "1.0"}), 1, 0, 1, False),
        (live(profile({"gross": "0.9"})), live(profile({"gross": "1.0"})), 1, 0, 2, False),
        (live(profile({"gross": "0.9"})), live(profile({"gross": "0.8"})), 0, 1, 2, False),
        (profile(), live(profile()), 1, 0, 2, False),
        (live(profile()), profile(), 0, 1, 2, False),
        (live(profile()), live(profile(), Mode.GATED_LIVE), 1, 0, 2, True),
        (live(profile(), Mode.GATED_LIVE), live(profile(), Mode.GATED_LIVE), 0, 0, 2, False),
        (None, live(profile(), Mode.GATED_LIVE), 1, 0, 2, True),
        (None, profile(), 0, 0, 1, False),
        (live(profile()), None, 0, 0, 2, False),
        (live(profile(governance={"loosen_approvers": 3})), live(profile()), 1, 0, 3, False),
        (live(profile()), live(profile(governance={"loosen_approvers": 3})), 0, 1, 3, False),
    ],
)  # fmt: skip
def test_effects(
    old: TraderProfile | None,
    new: TraderProfile | None,
    loosens: int,
    tightens: int,
    approvers: int,
    goes_live: bool,
) -> None:
    (one,), changes = effects(*([side] if side else [] for side in (old, new)))
    assert (one.loosens, one.tightens) == (loosens, tightens)
    assert (one.approvers, one.goes_live) == (approvers, goes_live)
    assert one.needs_agreement is (loosens > 0 and approvers > 1)
    assert one.changes is (old != new)
    assert len(changes) == one.loosens + one.tightens + one.neutral


# --- holding back ---------------------------------------------------------------------------------------------


def made(risk: dict[str, Any]) -> TraderProfile | None:
    try:
        return live(merge_profiles(traders({"risk": risk}), settings())[0])
    except InvalidConfig:
        return None


@hypothesis_settings(max_examples=60, derandomize=True, database=None, deadline=None)
@given(risks(), risks(), st.integers(0, 400 * 24))
def test_what_is_held_is_nowhere_looser_than_either(
    before: dict[str, Any], after: dict[str, Any], hours: int
) -> None:
    old, new = made(before), made(after)
    if old is None or new is None:
        return
    now_ns = T + hours * 3_600_000_000_000
    found = holds(old, new, now_ns, "why")
    if found is None:
        return  # the whole change waits
    end_ns = session_end_ns(old, now_ns)
    for at_ns in (now_ns, end_ns - 1):
        tight = with_overrides(new, found, at_ns)
        for spec in RULES:
            for name, value in tight.rules[spec.rule_id]:
                for side in (old, new):
                    assert stricter_or_equal(
                        spec.params, name, value, getattr(side.rules[spec.rule_id], name)
                    )
    assert with_overrides(new, found, end_ns).rules == new.rules
    assert now_ns < end_ns <= now_ns + 25 * 3_600_000_000_000


@pytest.mark.parametrize(
    ("before", "after", "paths"),
    [
        ({"gross": "0.9"}, {"gross": "1.0"}, ["risk.gross"]),
        ({"gross": "1.0"}, {"gross": "0.9"}, []),
        (
            {"daily_loss": {"limit_pct": "0.02", "soft": "0.5", "warn": "0.6", "act": "0.7"}},
            {"daily_loss": {"limit_pct": "0.03", "soft": "0.8", "warn": "0.85", "act": "0.9"}},
            ["risk.daily_loss"],
        ),
        ({"daily_loss": {"base": "anchor"}}, {"daily_loss": {"base": "initial"}}, None),
        ({"allow": ["A"]}, {"allow": ["A", "B"]}, ["risk.allow"]),
        ({"allow": ["A"]}, {}, ["risk.allow"]),
        (
            {"drawdown": [["0.05", "0.5"], ["0.1", "LOCKED"]]},
            {"drawdown": [["0.04", "0.7"], ["0.2", "LOCKED"]]},
            ["risk.drawdown"],
        ),
    ],
)
def test_holds(before: dict[str, Any], after: dict[str, Any], paths: list[str] | None) -> None:
    old, new = made(before), made(after)
    assert old is not None and new is not None
    found = holds(old, new, T, "why")
    assert (None if found is None else [one.path for one in found]) == paths


def test_a_session_cannot_be_ended_by_moving_its_end() -> None:
    old = made({"gross": "0.9"})
    day = {"trading_day": {"reset_at": "08:01", "zone": "UTC"}}
    new = live(merge_profiles(traders({"risk": {"gross": "1.0"}}, day), settings())[0])
    assert old is not None
    found = holds(old, new, T, "why")
    assert found is not None
    last_ns = session_end_ns(old, T) - 1
    assert str(with_overrides(new, found, last_ns).params(Gross).max_gross) == "0.9"


def test_a_dry_run_waits_for_no_session() -> None:
    assert not waits(profile(), profile())
    assert waits(live(profile()), profile()) and waits(profile(), live(profile()))


# --- the schema -----------------------------------------------------------------------------------------------


def test_every_parameter_has_a_description_and_no_enumeration_is_a_number() -> None:
    schema: Any = document_schema()
    risk = schema["$defs"]["Risk"]["properties"]
    for spec in RULES:
        assert risk[spec.key]["description"].startswith(f"{spec.rule_id} ")
    for name, one in schema["$defs"].items():
        assert not any(isinstance(member, int) for member in one.get("enum", ())), name
    limit = schema["$defs"]["DailyLoss"]["properties"]["limit_pct"]
    assert limit["description"] == "fraction of base; lower layers may only lower it"
    assert schema["$defs"]["DailyLoss"]["properties"]["limit_money"]["default"] == "unlimited"
