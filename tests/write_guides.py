"""Write the generated guides again: ``make docs``."""

from __future__ import annotations

from pathlib import Path

from tests import roles_guide
from tests.scenarios.guide import PAGE, scenario_guide
from tests.vectors import command_cases

from regime_trading.tools.commands_guide import with_commands
from regime_trading.tools.rl_guide import with_features
from regime_trading.tools.rules_guide import rules_guide

RULES = Path(__file__).parents[1] / "docs" / "guides" / "rules.md"
RL = RULES.with_name("rl.md")
COMMANDS = RULES.with_name("commands.md")

if __name__ == "__main__":
    RULES.write_text(rules_guide(), encoding="utf-8")
    PAGE.write_text(scenario_guide(), encoding="utf-8")
    RL.write_text(with_features(RL.read_text(encoding="utf-8")), encoding="utf-8")
    COMMANDS.write_text(with_commands(COMMANDS.read_text(encoding="utf-8")), encoding="utf-8")
    command_cases.write()
    roles_guide.PAGE.write_text(
        roles_guide.with_roles(roles_guide.PAGE.read_text(encoding="utf-8")), encoding="utf-8"
    )
    pages = (RULES, PAGE, RL, COMMANDS, command_cases.FILE, roles_guide.PAGE)
    print(f"written: {', '.join(page.name for page in pages)}")
