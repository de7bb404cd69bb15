"""The tables of commands as Markdown, generated from the catalogue and the policy in code."""

from __future__ import annotations

from regime_trading.core.access import MATRIX
from regime_trading.core.commands.catalogue import ALIASES, CATALOGUE
from regime_trading.core.commands.faults import Code
from regime_trading.core.commands.policy import takes
from regime_trading.core.commands.spec import CommandSpec, Klass
from regime_trading.core.schemas import Mode

BEGIN, END = "<!-- commands -->", "<!-- /commands -->"


def commands_guide() -> str:
    """The generated part of the guide, between its two marks; ends with a newline."""
    return "\n".join([*_commands(), *_aliases(), *_classes(), *_codes(), ""])


def with_commands(guide: str) -> str:
    """A guide with its generated part written anew.

    Raises
    ------
    ValueError
        A guide without the two marks.
    """
    before, rest = guide.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{commands_guide()}{END}{after}"


def _commands() -> list[str]:
    rows = ["### Every command\n", "Keys in bold are needed; `…` takes a list.\n"]
    rows += ["| command | keys | roles | class | what it does | call |", "|---|---|---|---|---|---|"]
    return [*rows, *map(_row, CATALOGUE), ""]


def _row(spec: CommandSpec) -> str:
    roles = "all" if spec.permission is None else ", ".join(sorted(MATRIX[spec.permission].roles))
    klass = "by its effect" if spec.computed else spec.klass.value
    klass += f", {spec.kill}" if spec.kill else ""
    call = "the screen itself" if spec.call is None else f"`{spec.call.method} {spec.call.path}`"
    why = "what a request of a run stands for; never typed" if spec.internal else spec.not_built
    help_ = f"{spec.help} (refused: {why})" if why else spec.help
    name = f"`{spec.name} <{spec.takes.name}>`" if spec.takes else f"`{spec.name}`"
    return "| " + " | ".join((name, _keys(spec), roles, klass, help_, call)) + " |"


def _keys(spec: CommandSpec) -> str:
    keys = [f"`{key.name}:{'…' if key.many else ''}`" for key in spec.keys]
    keys = [f"**{text}**" if key.required else text for text, key in zip(keys, spec.keys, strict=True)]
    open_ = ["**`any.limit:`**"] if spec.open_keys else []
    return " ".join([*keys, *open_, *(f"`--{flag}`" for flag in spec.flags)]) or "-"


def _aliases() -> list[str]:
    rows = [f"| `/{' '.join(said)}` | `/{' '.join(meant)}` |" for said, meant in ALIASES.items()]
    return ["### Other ways to say it\n", "| typed | means |", "|---|---|", *rows, ""]


def _classes() -> list[str]:
    rows = [
        "### What a class takes\n",
        "| class | one confirm | phrase, reason, proof of identity | another person |",
    ]
    rows.append("|---|---|---|---|")
    for klass in Klass:
        dry, other = takes(klass, Mode.DRY_RUN), takes(klass, None)
        second = "always" if dry.second else "but in a dry run" if other.second else "-"
        cells = (klass.value, "yes" if other.confirm else "-", "yes" if other.phrase else "-", second)
        rows.append("| " + " | ".join(cells) + " |")
    return [*rows, ""]


def _codes() -> list[str]:
    return ["### What can be wrong with a text\n", ", ".join(f"`{code.value}`" for code in Code) + "."]
