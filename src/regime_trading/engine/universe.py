"""What is traded: from the request, the accounts and the source to baskets with their shares."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8
from regime_trading.core.settings import Allocator, BasketSettings, Settings
from regime_trading.core.trader_profile import TraderProfile

AD_HOC = "ad-hoc"
USER = "user"


@dataclass(frozen=True, slots=True)
class BasketChoice:
    """One basket of a run and what each account gives it, a fraction of equity; float64 [A]."""

    name: str
    basket: BasketSettings
    share: F8


@dataclass(frozen=True, slots=True)
class Universe:
    """Baskets, all their symbols in sorted order, the market proxy (None = equal weights stand in), remarks."""

    baskets: tuple[BasketChoice, ...]
    symbols: tuple[str, ...]
    proxy: str | None
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Symbols to read: the traded ones and the proxy, sorted."""
        extra = set() if self.proxy is None else {self.proxy}
        return tuple(sorted(set(self.symbols) | extra))


def source_key(settings: Settings, source: str) -> str:
    """Key of a source in the settings: its own name, ``files`` for a path."""
    return source if source in settings.sources else "files"


def choose_accounts(
    profiles: Sequence[TraderProfile], wanted: Sequence[str] | None
) -> tuple[TraderProfile, ...]:
    """Profiles of the named accounts, in the order of the file; all where None.

    ``firm/account``; with one firm the account's id alone is enough.

    Raises
    ------
    BadInput
        No such account.
    """
    if wanted is None:
        return tuple(profiles)
    one_firm = len({profile.firm_id for profile in profiles}) == 1
    known = {profile.account: profile for profile in profiles}
    if one_firm:
        known |= {profile.account_id: profile for profile in profiles}
    for name in wanted:
        if name not in known:
            raise BadInput(
                expected=f"an account: {', '.join(p.account for p in profiles)}",
                found=repr(name),
                where="accounts",
            )
    chosen = {known[name].account for name in wanted}
    return tuple(profile for profile in profiles if profile.account in chosen)


def choose_universe(
    settings: Settings,
    profiles: Sequence[TraderProfile],
    source: str,
    available: Sequence[str],
    *,
    basket: str | None = None,
    symbols: Sequence[str] | None = None,
) -> Universe:
    """Baskets of a run.

    ``basket`` keeps that one for the accounts that list it; ``symbols`` makes one basket of them for every
    account. With neither, every account trades its own baskets; where the source has not all their symbols, all
    symbols of the source make one basket, and a note says so.

    Raises
    ------
    BadInput
        An unknown basket or symbol, a basket no account lists, both arguments at once.
    """
    if basket is not None and symbols is not None:
        raise BadInput(
            expected="a basket or symbols, not both",
            found=f"{basket} and {', '.join(symbols)}",
            where="request",
        )
    declared = settings.sources[source_key(settings, source)].market_proxy
    proxy = declared if declared in available else None
    if symbols is not None:
        return _ad_hoc(profiles, _known(symbols, available, "symbols"), proxy, ())
    names = [basket] if basket is not None else sorted({b.name for p in profiles for b in p.baskets})
    for name in names:
        if name not in settings.baskets:
            raise BadInput(
                expected=f"a basket: {', '.join(sorted(settings.baskets))}", found=repr(name), where="basket"
            )
    chosen = tuple(BasketChoice(name, settings.baskets[name], _shares(profiles, name)) for name in names)
    if not any(choice.share.any() for choice in chosen):
        raise BadInput(expected="a basket that one of the accounts lists", found=repr(basket), where="basket")
    wanted = tuple(sorted({s for choice in chosen for s in choice.basket.symbols}))
    missing = [s for s in wanted if s not in available]
    if not missing:
        return Universe(chosen, wanted, proxy)
    if basket is not None:
        _known(wanted, available, f"basket {basket}")
    everything = tuple(s for s in sorted(available) if s != proxy) or tuple(sorted(available))
    note = (
        f"The source has no prices for {len(missing)} of the {len(wanted)} symbols of the accounts' baskets: "
        f"all its {len(everything)} symbols make one basket."
    )
    return _ad_hoc(profiles, everything, proxy, (note,))


def _ad_hoc(
    profiles: Sequence[TraderProfile], symbols: tuple[str, ...], proxy: str | None, notes: tuple[str, ...]
) -> Universe:
    basket = BasketSettings(symbols=symbols, allocator=Allocator.RISK_PARITY)
    return Universe((BasketChoice(AD_HOC, basket, np.ones(len(profiles))),), symbols, proxy, notes)


def _shares(profiles: Sequence[TraderProfile], name: str) -> F8:
    return np.array([sum(float(b.share) for b in profile.baskets if b.name == name) for profile in profiles])


def _known(symbols: Sequence[str], available: Sequence[str], where: str) -> tuple[str, ...]:
    for symbol in symbols:
        if symbol not in available:
            near = difflib.get_close_matches(symbol, available, n=3, cutoff=0.4)
            hint = f" (nearest: {', '.join(near)})" if near else ""
            raise BadInput(expected="symbols the source has", found=f"{symbol!r}{hint}", where=where)
    return tuple(sorted(set(symbols)))
