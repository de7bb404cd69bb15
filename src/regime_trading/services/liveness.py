"""Whether every limit of every account is alive: how often it was looked at, when it last bound, whether it ever can.

The counts of a backtest come from ``rules.json``, which it writes beside its report from the arrays that the report
itself and ``--json`` count: the same numbers, without reading every sealed event again. A run decides each account
once; its counts come from ``decisions.json``. Reach is always that of the configuration as it is now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from regime_trading.core.audit import require_ident
from regime_trading.core.errors import BadInput
from regime_trading.core.instants import instant_text
from regime_trading.core.numbers import I8
from regime_trading.core.ports import ArtifactStore, MarketData
from regime_trading.core.rules import RULE_IDS
from regime_trading.core.rules.base import Frozen
from regime_trading.core.schemas import Provides, RuleOutcome
from regime_trading.core.settings import Settings
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.engine.backtest import HistoryResult, rule_counts
from regime_trading.engine.desk import Heard, heard_of
from regime_trading.engine.universe import choose_universe, source_key
from regime_trading.guards.selftest import reachable

RULES = "rules.json"


class RuleTally(Frozen):
    """How often a rule said what over the decisions of one account; ``last_bound`` is an instant in ISO 8601."""

    evaluated: int
    bound: int
    unknown: int
    not_evaluable: int
    off: int
    last_bound: str | None = None


class AccountTally(Frozen):
    """One account of a record, under the configuration that ``config_hash`` names."""

    account: str
    config_hash: str
    decisions: int
    rules: dict[str, RuleTally]


class RuleRecord(Frozen):
    """What a backtest or a run left behind of its rules; ``said`` and ``substituted`` are what they were told."""

    schema_version: int = 1
    run_id: str
    source: str
    first: str
    last: str
    said: tuple[str, ...]
    substituted: tuple[str, ...]
    accounts: tuple[AccountTally, ...]

    @property
    def heard(self) -> Heard:
        return Heard(frozenset(self.said), frozenset(self.substituted))


@dataclass(frozen=True, slots=True)
class RuleLiveness:
    """One rule of one account; ``tally`` None = no record of it."""

    rule_id: str
    reach: str
    tally: RuleTally | None


@dataclass(frozen=True, slots=True)
class AccountLiveness:
    """All rules of one account in the order of the registry.

    ``decisions`` None = the account is not in the record. ``same_config`` is False where the record was made under
    another configuration than the one whose reach is shown.
    """

    account: str
    decisions: int | None
    same_config: bool
    rules: tuple[RuleLiveness, ...]

    @property
    def summary(self) -> dict[str, int]:
        """Rules by reach, and those that were evaluated and never bound."""
        found = [rule.reach for rule in self.rules]
        told = {name: found.count(name) for name in REACHES if name in found or name != "unreachable"}
        if self.decisions is not None:
            told["never bound"] = sum(
                rule.reach in ("reachable", "unreachable") and rule.tally is not None and not rule.tally.bound
                for rule in self.rules
            )
        return told


REACHES = ("reachable", "unreachable", "off", "not evaluable")


@dataclass(frozen=True, slots=True)
class Liveness:
    """Every account; ``record`` None = nothing was recorded, and only reach is known."""

    source: str
    record: RuleRecord | None
    accounts: tuple[AccountLiveness, ...]

    def answer(self) -> dict[str, Any]:
        """The machine answer of ``regime pm liveness``."""
        record = self.record
        return {
            "run_id": None if record is None else record.run_id,
            "source": self.source,
            "first": None if record is None else record.first,
            "last": None if record is None else record.last,
            "accounts": [
                {
                    "account": one.account,
                    "decisions": one.decisions,
                    "same_config": one.same_config,
                    "summary": one.summary,
                    "rules": {
                        rule.rule_id: {"reach": rule.reach}
                        | ({} if rule.tally is None else rule.tally.model_dump(mode="json"))
                        for rule in one.rules
                    },
                }
                for one in self.accounts
            ],
        }


def liveness(
    profiles: Sequence[TraderProfile], source: str, heard: Heard, record: RuleRecord | None
) -> Liveness:
    """Reach of every rule of every account where ``heard`` is told, beside the counts of ``record``."""
    tallies = {} if record is None else {one.account: one for one in record.accounts}
    return Liveness(source, record, tuple(_account(p, heard, tallies.get(p.account)) for p in profiles))


def _account(profile: TraderProfile, heard: Heard, tally: AccountTally | None) -> AccountLiveness:
    rules: Mapping[str, RuleTally] = {} if tally is None else tally.rules
    reach = profile_reach(profile, heard)
    return AccountLiveness(
        account=profile.account,
        decisions=None if tally is None else tally.decisions,
        same_config=tally is None or tally.config_hash == profile.config_hash,
        rules=tuple(RuleLiveness(rule_id, reach[rule_id], rules.get(rule_id)) for rule_id in RULE_IDS),
    )


def profile_reach(profile: TraderProfile, heard: Heard) -> dict[str, str]:
    """Whether each rule of an account can ever bind where ``heard`` is told (``guards.selftest.reachable``)."""
    return reachable(
        profile.rules, heard.themselves, heard.substitutes, capital=float(profile.initial_capital)
    )


# --- records ------------------------------------------------------------------------------------------------


def history_record(
    run_id: str,
    source: str,
    ts_ns: I8,
    heard: Heard,
    accounts: Sequence[tuple[str, str]],
    result: HistoryResult,
) -> RuleRecord:
    """The record of a backtest: decided bars ``ts_ns`` int64 [T]; account and hash of its configuration."""
    counts = rule_counts(result)

    def tally(a: int, r: int) -> RuleTally:
        numbers = {name: int(counts[name][a, r]) for name in _COUNTS}
        last = int(counts["last_bound"][a, r])
        return RuleTally(**numbers, last_bound=None if last < 0 else instant_text(int(ts_ns[last])))

    return RuleRecord(
        run_id=run_id,
        source=source,
        first=instant_text(int(ts_ns[0])),
        last=instant_text(int(ts_ns[-1])),
        said=tuple(sorted(heard.themselves)),
        substituted=tuple(sorted(heard.substitutes)),
        accounts=tuple(
            AccountTally(
                account=account,
                config_hash=config_hash,
                decisions=len(ts_ns),
                rules={rule_id: tally(a, r) for r, rule_id in enumerate(RULE_IDS)},
            )
            for a, (account, config_hash) in enumerate(accounts)
        ),
    )


_COUNTS = ("evaluated", "bound", "unknown", "not_evaluable", "off")


def record_bytes(record: RuleRecord) -> bytes:
    """``rules.json``."""
    return orjson.dumps(record.model_dump(mode="json"), option=orjson.OPT_INDENT_2) + b"\n"


def read_record(store: ArtifactStore, run_id: str, settings: Settings, firms: Iterable[str]) -> RuleRecord:
    """The record of a finished backtest, or of a run.

    Raises
    ------
    BadInput
        No such run, or one whose files cannot be read.
    """
    home = f"runs/{require_ident(run_id, '--run')}"
    if store.exists(f"{home}/{RULES}"):
        where = f"{home}/{RULES}"
        return _readable(where, lambda: RuleRecord.model_validate_json(store.read_bytes(where)))
    where = f"{home}/market/regime.json"
    if not store.exists(where):
        raise BadInput(expected="a finished run of the artifacts folder", found=run_id, where="--run")
    return _readable(where, lambda: _run_record(store, home, run_id, settings, firms))


def _readable(where: str, read: Callable[[], RuleRecord]) -> RuleRecord:
    try:
        return read()
    except (ValidationError, orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        found = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        raise BadInput(expected="what a finished run writes", found=found, where=where) from error


def _run_record(
    store: ArtifactStore, home: str, run_id: str, settings: Settings, firms: Iterable[str]
) -> RuleRecord:
    market = orjson.loads(store.read_bytes(f"{home}/market/regime.json"))
    request, health = market["request"], market["data"]["health"]
    files = [f"{home}/firms/{firm}/decisions.json" for firm in firms]
    told = [one for file in files if store.exists(file) for one in orjson.loads(store.read_bytes(file))]
    heard = heard_of(
        frozenset(Provides(name) for name in health["provides"]),
        settings.evidence[source_key(settings, request["source"])],
        [settings.instruments.spec(symbol) for symbol in request["traded"]],
        settings.events,
        int(health["bar_s"]) * 1_000_000_000,
    )
    at = instant_text(int(request["as_of_ns"]))
    return RuleRecord(
        run_id=run_id,
        source=request["source"],
        first=at,
        last=at,
        said=tuple(sorted(heard.themselves)),
        substituted=tuple(sorted(heard.substitutes)),
        accounts=tuple(
            AccountTally(
                account=one["account"],
                config_hash=one["config_hash"],
                decisions=1,
                rules={rule["rule_id"]: _once(RuleOutcome(rule["outcome"]), at) for rule in one["rules"]},
            )
            for one in told
        ),
    )


def _once(outcome: RuleOutcome, at: str) -> RuleTally:
    """The tally of one decision."""
    bound, unknown = outcome is RuleOutcome.BOUND, outcome is RuleOutcome.UNKNOWN
    return RuleTally(
        evaluated=int(bound or unknown or outcome is RuleOutcome.PASS),
        bound=int(bound),
        unknown=int(unknown),
        not_evaluable=int(outcome is RuleOutcome.NOT_EVALUABLE),
        off=int(outcome is RuleOutcome.OFF),
        last_bound=at if bound else None,
    )


def source_heard(
    data: MarketData, source: str, profiles: Sequence[TraderProfile], settings: Settings
) -> Heard:
    """What rules will be told on a source on which nothing was recorded yet."""
    symbols = choose_universe(settings, profiles, source, data.symbols).symbols
    return heard_of(
        data.provides,
        settings.evidence[source_key(settings, source)],
        [settings.instruments.spec(symbol) for symbol in symbols],
        settings.events,
        data.health(symbols=symbols).bar_s * 1_000_000_000,
    )
