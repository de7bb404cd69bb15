"""``regime audit seal``: write-ahead entries and RL rows into sealed files."""

from __future__ import annotations

from rich.markup import escape

from regime_trading.cli.common import Artifacts, Config, Debug, Json, out, print_json, reporting


def seal(
    artifacts: Artifacts = None, config: Config = None, as_json: Json = False, debug: Debug = False
) -> None:
    """Seal entries of shadow, live, paced runs and administration, and RL rows of all decisions, merge small files, and
    sign what is new."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.sealing import seal_everything

        rows: dict[str, int] = {}
        done = seal_everything(artifacts, config, rows.__setitem__)
        if as_json:
            print_json(
                {
                    "entries": sum(one.rows for one in done),
                    "chains": [
                        {
                            "chain_id": one.entries.chain_id,
                            "entries": one.rows,
                            "parts": [part.path for part in one.parts],
                        }
                        for one in done
                    ],
                    "rl_decisions": rows,
                }
            )
            return
        for one in done:
            out.print(escape(f"{one.entries.chain_id}: {one.rows} entries sealed"), soft_wrap=True)
        for firm, decisions in rows.items():
            out.print(escape(f"{firm}: RL rows of {decisions} decisions sealed"), soft_wrap=True)
        if not done and not rows:
            out.print("nothing waits")
