"""What commands on the configuration would do, and doing it: thin functions under the grammar of commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import JsonValue

from regime_trading.core.config_diff import Direction
from regime_trading.core.config_versions import ConfigVersion, DocumentFinding
from regime_trading.core.errors import BadInput
from regime_trading.services.config_apply import Approved, nobody
from regime_trading.services.config_versions import ConfigService, VersionDiff


@dataclass(frozen=True, slots=True)
class Simulated:
    """A document that would be applied on ``base_version``, what it changes, and why it would be refused; ``version``
    where it is drafted already."""

    firm_id: str
    base_version: int
    document: str
    diff: VersionDiff
    version: ConfigVersion | None = None

    @property
    def direction(self) -> Direction:
        """What it does as a whole."""
        return self.diff.direction

    @property
    def findings(self) -> tuple[DocumentFinding, ...]:
        """Why the loader would refuse it; empty where it would take it."""
        return self.diff.findings


def simulate_config_set(
    service: ConfigService, firm_id: str, account: str, values: Mapping[str, JsonValue]
) -> Simulated:
    """Values of one account set in the firm's document; comments and layout stay.

    Parameters
    ----------
    account : str
        Full name, or the name within the firm.
    values : mapping
        By dotted path below the account (``risk.gross``, ``risk.daily_loss.act``); numbers are decimal text, without
        a unit.

    Raises
    ------
    BadInput
        No such account, or a path that cannot be set.
    """
    owner, _, name = account.rpartition("/")
    if owner not in ("", firm_id):
        raise BadInput(expected=f"an account of firm {firm_id}", found=account, where="account")
    if not values:
        raise BadInput(expected="at least one key and its value", found="none", where="config set")
    current = service.current(firm_id)
    document = service.deps.file.edited(current.reading.document, name, values)
    return _simulated(service, firm_id, current.number, document)


def simulate_rollback(service: ConfigService, firm_id: str, to: int) -> Simulated:
    """The document of an earlier version on the one in force.

    Raises
    ------
    BadInput
        No such version.
    """
    document = service.get(firm_id, to).document
    return _simulated(service, firm_id, service.current(firm_id).number, document)


def simulate_version(service: ConfigService, firm_id: str, version: int) -> Simulated:
    """A version that was drafted, on the one in force.

    Raises
    ------
    BadInput
        No such version.
    """
    found = service.get(firm_id, version)
    made = _simulated(service, firm_id, service.current(firm_id).number, found.document)
    return replace(made, version=found)


def execute_config(
    service: ConfigService,
    simulated: Simulated,
    reason: str = "",
    approval: str = "",
    approved: Approved = nobody,
) -> ConfigVersion:
    """Draft what was simulated and apply it; raises as ``ConfigService.draft`` and ``apply``.

    What takes a second person is drafted first (``ConfigService.draft``), so that there is a ``payload_hash`` to agree
    to; this is for what one person may do.
    """
    made = service.draft(simulated.firm_id, simulated.document, simulated.base_version, reason)
    return service.apply(simulated.firm_id, made.version, approval, approved)


def _simulated(service: ConfigService, firm_id: str, base: int, document: str) -> Simulated:
    return Simulated(firm_id, base, document, service.compare(firm_id, document))
