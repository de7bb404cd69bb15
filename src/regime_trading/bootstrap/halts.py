"""Halts, wired: the database, the flag files beside it, and who is recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database.controls import SqlControls
from regime_trading.adapters.halt_flags import FlagFiles
from regime_trading.core.schemas import Mode
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.services.acts import Acts
from regime_trading.services.controls import Halts

if TYPE_CHECKING:
    from regime_trading.adapters.database import Engine


def make_halts(
    root: Path,
    engine: Callable[[], Engine],
    acts: Callable[[], Acts],
    profiles: Callable[[], Sequence[TraderProfile]],
    alarm: Callable[[str], None],
) -> Halts:
    """Halts over an artifacts folder.

    Parameters
    ----------
    root : Path
        The artifacts folder.
    engine : callable
        Its database; may raise ``StoreDown``, which then stands for itself.
    acts, profiles : callable
        What acts are recorded through; the accounts that are configured.
    alarm : callable
        Told in one sentence what a person must hear of now.
    """

    def modes(firm: str) -> Mapping[str, Mode]:
        return {profile.account: profile.mode for profile in profiles() if profile.firm_id == firm}

    return Halts(
        store=lambda firm: SqlControls(engine(), firm_id=firm),
        flags=FlagFiles(root),
        modes=modes,
        acts=acts,
        clock=SystemClock(),
        alarm=alarm,
    )
