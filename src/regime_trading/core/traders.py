"""Models of ``config/traders.yaml``: presets, firms, accounts; and what each account must say beside risk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from regime_trading.core.risk_layers import ConfigText, Path, nearest
from regime_trading.core.rules import Fraction, Frozen, Number, decimal_text
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
    """A trading day ends, and the next begins, at ``reset_at`` local time of the IANA zone ``zone``."""

    reset_at: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    zone: str = Field(pattern=r"^[A-Za-z0-9_+/-]{1,40}$")


class Lifecycle(Frozen):
    """Terms of an evaluation attempt: passed at ``profit_target_pct`` of the initial capital after at least
    ``min_trading_days``; expired after ``max_sessions`` (None = no limit of time)."""

    profit_target_pct: Annotated[Number, Field(gt=0, le=1)] | None = None
    min_trading_days: Annotated[int, Field(ge=0)] = 0
    max_sessions: Annotated[int, Field(ge=1)] | None = None


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
    risk: dict[str, Any] = Field(default_factory=dict)


class AccountConfig(Terms):
    id: Ident
    display_name: str | None = Field(default=None, min_length=1, max_length=80)
    mode: Mode
    preset: PresetRef | None = None
    baskets: tuple[BasketShare, ...] = Field(min_length=1)


class FirmConfig(Frozen):
    """``presets`` are those its accounts may name; ``sealed`` the path globs its accounts may only tighten."""

    id: Ident
    name: str = Field(min_length=1, max_length=80)
    presets: tuple[PresetRef, ...] = ()
    sealed: tuple[str, ...] = ()
    risk: dict[str, Any] = Field(default_factory=dict)
    accounts: tuple[AccountConfig, ...] = Field(min_length=1)


class TradersConfig(Frozen):
    """``config/traders.yaml``. A preset says nothing of another preset, so there is no cycle."""

    schema_version: Literal[1] = 1
    presets: dict[PresetRef, Terms] = Field(default_factory=dict)
    firms: tuple[FirmConfig, ...] = Field(min_length=1)


def accounts_of(traders: TradersConfig) -> tuple[str, ...]:
    """``firm/account`` of every account, in the order of the file."""
    return tuple(f"{firm.id}/{account.id}" for firm in traders.firms for account in firm.accounts)


def check_traders(
    traders: TradersConfig, settings: Settings, text: ConfigText, settings_text: ConfigText
) -> tuple[Finding, ...]:
    """What is wrong with ids, presets, baskets and flows; risk parameters are checked where they merge."""
    findings = list(_repeated([firm.id for firm in traders.firms], ("firms",), text))
    for f, firm in enumerate(traders.firms):
        findings += _repeated([account.id for account in firm.accounts], ("firms", f, "accounts"), text)
        findings += _unknown(firm.presets, traders.presets, ("firms", f, "presets"), text, "preset")
        for a, account in enumerate(firm.accounts):
            at: Path = ("firms", f, "accounts", a)
            findings += _preset_problems(firm, account, traders, (*at, "preset"), text)
            findings += _basket_problems(account, settings, (*at, "baskets"), text)
    flows = [flow.account for flow in settings.backtest.flows]
    findings += _unknown(flows, accounts_of(traders), ("backtest", "flows"), settings_text, "account")
    return tuple(findings)


def problem(text: ConfigText, path: Path, expected: str, found: str, layers: tuple[str, ...] = ()) -> Finding:
    """A finding on one path of a file."""
    return Finding(
        path=".".join(map(str, path)),
        file=text.file,
        line=text.line(path),
        layers=layers,
        expected=expected,
        found=found,
    )


def _repeated(ids: Sequence[str], root: Path, text: ConfigText) -> Iterable[Finding]:
    for n, name in enumerate(ids):
        if name in ids[:n]:
            line = text.line((*root, ids.index(name), "id"))
            expected = "an id not used before" + (f" (line {line})" if line else "")
            yield problem(text, (*root, n, "id"), expected, repr(name))


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
    elif ref not in firm.presets:
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
