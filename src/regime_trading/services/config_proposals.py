"""Drafts on their way into force: what tightens goes at once, what loosens is asked of other people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from regime_trading.core.approvals import ApprovalStatus
from regime_trading.core.commands.previews import Done
from regime_trading.core.config_versions import ConfigVersion, VersionStatus
from regime_trading.core.errors import Conflict
from regime_trading.services.commands import Asker, confirm, preview
from regime_trading.services.config_versions import ConfigService
from regime_trading.services.desk import Desk

_ENDED = {
    ApprovalStatus.REFUSED: VersionStatus.REJECTED,
    ApprovalStatus.FAILED: VersionStatus.VOID,
    ApprovalStatus.VOID: VersionStatus.VOID,
    ApprovalStatus.EXPIRED: VersionStatus.VOID,
}


def propose(
    desk: Desk,
    service: ConfigService,
    asker: Asker,
    version: ConfigVersion,
    phrase: str,
    reason: str,
    note: Callable[[], str],
    key: str,
) -> Done:
    """Have a draft put into force: the command ``/config apply``, previewed and confirmed in one step.

    Parameters
    ----------
    phrase : str
        What must be typed where it loosens: the full name of the one account it changes, else the firm.
    note : callable
        What those who must agree read beside what it changes (a what-if).
    key : str
        Of this attempt; empty = of its own.

    Raises
    ------
    Conflict
        Another version is in force by now, or the loader refuses it.
    Refused, BadInput
        As :func:`regime_trading.services.commands.confirm`.
    """
    firm_id = version.firm_id
    made = preview(desk, Asker(asker.principal, firm_id), command_of(version))
    if made.blocking:
        raise Conflict("blocked", "; ".join(made.blocking))
    done = confirm(
        desk, asker, made.preview_id, made.action_hash, phrase, reason, key or made.preview_id, note
    )
    if done.request_id:
        service.propose(firm_id, version.version, done.request_id)
    return done


def command_of(version: ConfigVersion) -> str:
    """The command that puts a version into force; it names the account where it changes a single one."""
    changed = [one.account for one in version.accounts if one.changes]
    about = f"account:{changed[0]} " if len(changed) == 1 else ""
    return f"/config apply {about}v:{version.version}"


def settle_proposals(desk: Desk, service: ConfigService, firm_id: str) -> None:
    """Let a version end as the request for it has ended. To be called every minute."""
    for version in service.deps.versions(firm_id).of_status(VersionStatus.PROPOSED):
        asked = desk.approvals(firm_id).get(version.request_id)
        end = VersionStatus.VOID if asked is None else _ENDED.get(asked.status)
        why = "its request is not there" if asked is None else asked.why
        if end is VersionStatus.REJECTED:
            service.reject(firm_id, version.version, why)
        elif end is VersionStatus.VOID:
            service.withdraw(firm_id, version.version, why)


def what_if_md(found: Mapping[str, Any]) -> str:
    """What a replay found, as those read it who must agree: Markdown, fractions in percent."""
    lines = [f"{found['days']} decision days were replayed under both, {found['first']} to {found['last']}."]
    lines += [_line(one) for one in found["accounts"]]
    return "\n".join(["**What would have been decided otherwise**", "", *(f"- {line}" for line in lines)])


def _line(account: Mapping[str, Any]) -> str:
    moved = (
        f"{name} {_percent(account[key]['old'])} to {_percent(account[key]['new'])}"
        for key, name in (("return", "return"), ("max_drawdown", "deepest drawdown"))
    )
    return f"{account['account']}: {account['differ']} of {account['decisions']} decisions differ; {', '.join(moved)}."


def _percent(fraction: float | None) -> str:
    return "not known" if fraction is None else f"{100 * fraction:.2f} %"
