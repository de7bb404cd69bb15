"""The table of roles in ``docs/guides/users.md``, from what decides (``core.access.MATRIX``)."""

from __future__ import annotations

from pathlib import Path

from regime_trading.core.access import MATRIX, Reach, Role

PAGE = Path(__file__).parents[1] / "docs" / "guides" / "users.md"
_REACH = {Reach.ACCOUNT: "account", Reach.FIRM: "whole firm", Reach.MEMBER: "member"}


def roles_table() -> str:
    """Markdown: one row per permission."""
    head = ["permission", *Role, "over", "step-up", "never by token"]
    rows = [head, ["---"] * len(head)]
    for permission, rule in MATRIX.items():
        yes = ["✓" if role in rule.roles else "" for role in Role]
        more = ["✓" if flag else "" for flag in (rule.step_up, rule.by_person)]
        rows.append([f"`{permission}`", *yes, _REACH[rule.reach], *more])
    return "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |").replace("|  |", "| |") for row in rows)


def with_roles(page: str) -> str:
    """The page with its table as it must be."""
    before, rest = page.split("<!-- roles -->\n", 1)
    _, after = rest.split("<!-- /roles -->", 1)
    return f"{before}<!-- roles -->\n{roles_table()}\n<!-- /roles -->{after}"
