"""The feature table of the RL dataset as Markdown, generated from the table in code."""

from __future__ import annotations

from regime_trading.core.rl_features import FEATURE_SET_VERSION, FEATURES, MASKS, features, mask_column

BEGIN, END = "<!-- features -->", "<!-- /features -->"


def features_guide() -> str:
    """The generated part of the guide, between its two marks; ends with a newline."""
    lines = [f"Feature set {FEATURE_SET_VERSION}, {len(FEATURES)} features.\n"]
    for block, per in MASKS:
        of = "a decision" if per == "row" else "an asset"
        lines.append(f"### {block.capitalize()}, one number of {of}\n")
        lines.append(f"Mask: `{mask_column(block, per)}`, bit 0 is the first row.\n")
        lines.append("| feature | unit | what it is | NaN where | known by | since |")
        lines.append("|---|---|---|---|---|---|")
        for f in features(block, per):
            cells = (f"`{f.name}`", f.unit, f.doc, f.nan, f.known, f.since)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def with_features(guide: str) -> str:
    """A guide with its generated part written anew.

    Raises
    ------
    ValueError
        A guide without the two marks.
    """
    before, rest = guide.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{features_guide()}{END}{after}"
