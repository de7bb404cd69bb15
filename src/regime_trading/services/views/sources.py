"""What the views of one firm read, and what of it an asker may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from regime_trading.core.access import Permission
from regime_trading.core.audit import require_ident
from regime_trading.core.config_status import Standing
from regime_trading.core.errors import BadInput
from regime_trading.core.ports import (
    AccountStates,
    FirmFiles,
    InputStore,
    Overrides,
    RecordHistory,
    RecordQuery,
    RLLog,
    Runs,
)
from regime_trading.core.settings import Settings
from regime_trading.core.trader_profile import TraderProfile, with_overrides
from regime_trading.services.rl_dataset import RLDataset
from regime_trading.services.views.base import Asker
from regime_trading.services.views.proof import ProofReader


@dataclass(frozen=True, slots=True)
class FirmSources:
    """Everything the views of one firm read; each of its readers is of that firm alone.

    Parameters
    ----------
    firm_id : str
        Tenant.
    settings : Settings
    standings : mapping
        How the accounts of the firm stand, by full name.
    states : AccountStates
    record : RecordQuery
        Entries newest first.
    history : RecordHistory
        Entries chain by chain, for registers.
    inputs : InputStore
        What decisions were made of.
    overrides : Overrides
    runs : Runs
    files : FirmFiles
    rl : RLDataset
        Sealed rows.
    rl_log : RLLog
        Rows that are not sealed yet.
    proofs : ProofReader
        Checkpoints, and the sealed record for verifying.

    Raises
    ------
    BadInput
        An illegal firm, or the standing of another firm's account.
    """

    firm_id: str
    settings: Settings
    standings: Mapping[str, Standing]
    states: AccountStates
    record: RecordQuery
    history: RecordHistory
    inputs: InputStore
    overrides: Overrides
    runs: Runs
    files: FirmFiles
    rl: RLDataset
    rl_log: RLLog
    proofs: ProofReader

    def __post_init__(self) -> None:
        require_ident(self.firm_id, "firm_id")
        for where, firm_id in (("rl", self.rl.firm_id), ("proofs", self.proofs.firm_id)):
            if firm_id != self.firm_id:
                raise BadInput(expected=f"what is of firm {self.firm_id}", found=str(firm_id), where=where)
        for account in self.standings:
            if account.split("/")[0] != self.firm_id:
                raise BadInput(expected=f"accounts of firm {self.firm_id}", found=account, where="standings")

    def readable(self, asker: Asker, permission: Permission = Permission.READ) -> tuple[str, ...]:
        """Accounts of the firm that an asker may see, by full name, in the order of the configuration."""
        return asker.among(permission, self.standings)

    def require(self, asker: Asker, account: str, permission: Permission = Permission.READ) -> Standing:
        """How an account stands, where the asker may see it.

        Raises
        ------
        NotThere
            There is no such account, or not for this asker.
        """
        return self.standings[asker.require(permission, account, self.standings)]

    def in_force(self, profile: TraderProfile, at_ns: int) -> TraderProfile:
        """A configuration with the session overrides that tighten it at an instant."""
        stored = self.overrides.of(profile.account)
        return with_overrides(profile, stored, at_ns) if stored else profile


def ids_of(accounts: tuple[str, ...]) -> tuple[str, ...]:
    """Account ids of full names."""
    return tuple(account.split("/")[1] for account in accounts)
