"""Models of ``config/traders.yaml``: presets, firms, accounts; and what each account must say beside risk."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from regime_trading.core.risk_layers import ConfigText, Path, nearest
from regime_trading.core.rules import Fraction, Frozen, Number, decimal_text
from regime_trading.core.rules.blackout import IsoDay, LocalTime
from regime_trading.core.schemas import Ident, Mode
from regime_trading.core.settings import Finding, Settings

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
PresetRef = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,40}@[1-9]\d{0,3}$")]
Capital = Annotated[Number, Field(gt=0)]


class AccountType(StrEnum):
    OWN = "own"
    MANAGED = "managed"
    PROP_EVAL = "prop_eval"
    PROP_FUNDED = "prop_funded"


class TradingDay(Frozen):
    """A trading day ends, and the next begins, at ``reset_at`` local time of the IANA zone ``zone``; trading stops
    at ``close_at`` (None = at the reset)."""

    reset_at: LocalTime
    zone: str = Field(pattern=r"^[A-Za-z0-9_+/-]{1,40}$")
    close_at: LocalTime | None = None


class Lifecycle(Frozen):
    """Terms of an evaluation attempt, progress only: no rule ever forces a trade for their sake.

    Passed at the profit target after at least ``min_trading_days``; expired after ``max_sessions`` (None = no limit
    of time). The target is ``profit_target_pct`` of the initial capital, ``profit_target`` in money, or the greater
    of both. ``start`` and ``end``, the first and last day, are for any account: they are rule UT-13.
    """

    profit_target_pct: Annotated[Number, Field(gt=0, le=1)] | None = None
    profit_target: Capital | None = None
    min_trading_days: Annotated[int, Field(ge=0)] = 0
    max_sessions: Annotated[int, Field(ge=1)] | None = None
    start: IsoDay | None = None
    end: IsoDay | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Lifecycle:
        if self.start is not None and self.end is not None and self.end < self.start:
            raise ValueError(f"end: expected a day on or after {self.start}, found {self.end}")
        return self

    @property
    def evaluates(self) -> bool:
        """Whether it says anything of an evaluation."""
        return bool(self.model_fields_set - {"start", "end"})


class Universe(Frozen):
    """What may be traded; an absent list says nothing. Every list only ever narrows the one above it: ``allow``,
    ``classes`` and ``venues`` intersect, ``deny`` and ``hedge_groups`` unite, and deny beats allow."""

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    venues: tuple[str, ...] | None = None
    hedge_groups: tuple[tuple[str, ...], ...] | None = None

    @property
    def said(self) -> dict[str, Any]:
        """The lists that are written, null included."""
        return {
            name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set
        }


Approvers = Annotated[int, Field(ge=2, le=10)]


class Governance(Frozen):
    """People it takes to enable live trading and to loosen a configuration, and the roles that may approve.

    Never fewer than two (``contracts.md`` 12); accounts in ``dry_run`` may loosen alone.
    """

    live_enable_approvers: Approvers = 2
    loosen_approvers: Approvers = 2
    approver_roles: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{1,40}$")], ...] = Field(
        default=("Admin", "PM"), min_length=1
    )


class BasketShare(Frozen):
    """Share of the account's equity that follows one basket."""

    name: Ident
    share: Annotated[Fraction, Field(gt=0)]


class Terms(Frozen):
    """What a preset or an account may say of an account; what a preset says, its accounts may not change."""

    account_type: AccountType | None = None
    account_currency: Currency | None = None
    initial_capital: Capital | None = None
    trading_day: TradingDay | None = None
    lifecycle: Lifecycle | None = None
    universe: Universe = Universe()
    risk: dict[str, Any] = Field(default_factory=dict)


class Preset(Terms):
    """Terms under a name with a version. What a version says never changes: other terms are the next version.

    ``source_url`` and ``read_on`` say where the terms are published and when they were read, ``note`` what to know of
    them before use.
    """

    source_url: str | None = Field(default=None, pattern=r"^https?://\S{1,400}$")
    read_on: IsoDay | None = None
    note: str | None = Field(default=None, min_length=1, max_length=1000)


class PresetsConfig(Frozen):
    """``config/presets.yaml``: presets that the traders file beside it may name."""

    schema_version: Literal[1] = 1
    presets: dict[PresetRef, Preset] = Field(default_factory=dict)


class AccountConfig(Terms):
    """One account. Without ``baskets`` its proposals come from outside."""

    id: Ident
    display_name: str | None = Field(default=None, min_length=1, max_length=80)
    mode: Mode
    preset: PresetRef | None = None
    baskets: tuple[BasketShare, ...] = ()


class FirmConfig(Frozen):
    """``presets`` are those its accounts may name (None = any); ``sealed`` the path globs its accounts may only
    tighten."""

    id: Ident
    name: str = Field(min_length=1, max_length=80)
    presets: tuple[PresetRef, ...] | None = None
    sealed: tuple[str, ...] = ()
    governance: Governance = Governance()
    universe: Universe = Universe()
    risk: dict[str, Any] = Field(default_factory=dict)
    accounts: tuple[AccountConfig, ...] = Field(min_length=1)


class TradersConfig(Frozen):
    """``config/traders.yaml``. A preset says nothing of another preset, so there is no cycle.

    ``calendar_set`` is a label of the writer's: which edition of the calendars the file was written against.
    ``sessions`` is empty: session overrides live in the store.
    """

    schema_version: Literal[1, 3] = 1
    calendar_set: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,40}$")
    presets: dict[PresetRef, Preset] = Field(default_factory=dict)
    firms: tuple[FirmConfig, ...] = Field(min_length=1)
    sessions: tuple[Any, ...] = ()

    @field_validator("sessions")
    @classmethod
    def _none(cls, sessions: tuple[Any, ...]) -> tuple[Any, ...]:
        if sessions:
            raise ValueError(
                "expected an empty list (session overrides live in the store, see `regime config override`), "
                f"found {len(sessions)}"
            )
        return sessions


def accounts_of(traders: TradersConfig) -> tuple[str, ...]:
    """``firm/account`` of every account, in the order of the file."""
    return tuple(f"{firm.id}/{account.id}" for firm in traders.firms for account in firm.accounts)


def check_flows(
    traders: TradersConfig, settings: Settings, settings_text: ConfigText, absent: Collection[str] = ()
) -> tuple[tuple[str, Finding], ...]:
    """Flows of accounts that are not there, by the firm they name; of the firms in ``absent`` nothing is known."""
    known = accounts_of(traders)
    flows = [(n, flow.account) for n, flow in enumerate(settings.backtest.flows)]
    return tuple(
        (
            name.split("/")[0],
            problem(settings_text, ("backtest", "flows", n), nearest(name, known, "account"), repr(name)),
        )
        for n, name in flows
        if name not in known and name.split("/")[0] not in absent
    )


def check_firm(
    traders: TradersConfig, f: int, roots: Sequence[Path], settings: Settings, text: ConfigText
) -> list[Finding]:
    """What is wrong with ids, presets and baskets of firm ``f``; the file has the firms at ``roots``. Risk
    parameters are checked where they merge."""
    firm, root = traders.firms[f], roots[f]
    findings = [*_repeated_firm(traders, f, roots, text)]
    findings += _repeated([account.id for account in firm.accounts], (*root, "accounts"), text, firm.id)
    findings += _unknown(firm.presets or (), traders.presets, (*root, "presets"), text, "preset")
    for a, account in enumerate(firm.accounts):
        at: Path = (*root, "accounts", a)
        findings += _preset_problems(firm, account, traders, (*at, "preset"), text)
        findings += _basket_problems(account, settings, (*at, "baskets"), text)
    return findings


def problem(text: ConfigText, path: Path, expected: str, found: str, layers: tuple[str, ...] = ()) -> Finding:
    """A finding on one path of a file."""
    return Finding(
        path=".".join(map(str, path)),
        file=text.of(path).file,
        line=text.line(path),
        layers=layers,
        expected=expected,
        found=found,
    )


def _repeated_firm(
    traders: TradersConfig, f: int, roots: Sequence[Path], text: ConfigText
) -> Iterable[Finding]:
    name = traders.firms[f].id
    for n in range(f):
        if traders.firms[n].id == name:
            line = text.line((*roots[n], "id"))
            expected = "an id not used before" + (f" (line {line})" if line else "")
            yield problem(text, (*roots[f], "id"), expected, repr(name), (f"firm {name}",))
            return


def _repeated(ids: Sequence[str], root: Path, text: ConfigText, firm: str) -> Iterable[Finding]:
    for n, name in enumerate(ids):
        if name in ids[:n]:
            line = text.line((*root, ids.index(name), "id"))
            expected = "an id not used before" + (f" (line {line})" if line else "")
            yield problem(text, (*root, n, "id"), expected, repr(name), (f"account {firm}/{name}",))


def _unknown(
    names: Sequence[str], known: Iterable[str], root: Path, text: ConfigText, what: str
) -> Iterable[Finding]:
    known = tuple(known)
    for n, name in enumerate(names):
        if name not in known:
            yield problem(text, (*root, n), nearest(name, known, what), repr(name))


def _preset_problems(
    firm: FirmConfig, account: AccountConfig, traders: TradersConfig, at: Path, text: ConfigText
) -> Iterable[Finding]:
    ref = account.preset
    if ref is None:
        return
    if ref not in traders.presets:
        yield problem(text, at, nearest(ref, traders.presets, "preset"), repr(ref))
    elif firm.presets is not None and ref not in firm.presets:
        expected = f"a preset that firm {firm.id} allows ({', '.join(firm.presets) or 'none'})"
        yield problem(text, at, expected, repr(ref), (f"firm {firm.id}", f"account {firm.id}/{account.id}"))


def _basket_problems(
    account: AccountConfig, settings: Settings, at: Path, text: ConfigText
) -> Iterable[Finding]:
    names = [basket.name for basket in account.baskets]
    yield from _unknown(names, settings.baskets, at, text, "basket")
    for n, name in enumerate(names):
        if name in names[:n]:
            yield problem(text, (*at, n, "name"), "each basket once", repr(name))
    total = sum((basket.share for basket in account.baskets), Decimal(0))
    if total > 1:
        yield problem(text, at, "shares that sum to at most 1", decimal_text(total))
