"""④ Every account of the run with the configuration it is decided under."""

from __future__ import annotations

from typing import Any

from regime_trading.agents.deps import Deps
from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import Mode
from regime_trading.core.settings import Settings
from regime_trading.core.state import PipelineState, ProfileRef
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.engine.universe import AD_HOC


def trader_config_loader(state: PipelineState, deps: Deps) -> dict[str, Any]:
    """Name the accounts, the hashes of the configurations in force, and whose agreement their baskets ask for.

    Raises
    ------
    BadInput
        An account that the configuration does not have, or whose mode this version does not serve.
    """
    as_of_ns = state.request.as_of_ns
    profiles = (deps.profile(account, as_of_ns) for account in state.request.accounts)
    return {"profiles": tuple(_reference(state, deps.settings, profile) for profile in profiles)}


def _reference(state: PipelineState, settings: Settings, profile: TraderProfile) -> ProfileRef:
    if profile.mode is not Mode.DRY_RUN:
        raise BadInput(
            expected=f"mode {Mode.DRY_RUN.value} (no other is there yet)",
            found=profile.mode.value,
            where=f"account {profile.account}",
        )
    own = (AD_HOC,) if state.request.ad_hoc else ()
    names = own or tuple(b.name for b in profile.baskets if b.name in state.request.baskets)
    manual = any(
        settings.baskets[name].approval == "manual" for name in _asking(state, settings, profile, names)
    )
    return ProfileRef(
        account=profile.account,
        mode=profile.mode,
        config_hash=profile.config_hash,
        baskets=names,
        approval="manual" if manual else "none",
    )


def _asking(
    state: PipelineState, settings: Settings, profile: TraderProfile, names: tuple[str, ...]
) -> set[str]:
    """Baskets whose settings say whether people are asked: those the run follows. Own symbols and own weights take the
    place of all that the account follows, and go no easier way."""
    own = state.request.proposal
    if not state.request.ad_hoc and own is None:
        return set(names)
    named = {own.basket} if own is not None and own.basket in settings.baskets else set()
    return {str(name) for name in named} | {basket.name for basket in profile.baskets}
