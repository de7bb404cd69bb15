"""The command center as it was built into the package (``make web``), where it was."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import regime_trading

FOLDER = Path(regime_trading.__file__).parent / "web"


@cache
def built_pages() -> dict[str, bytes]:
    """Files of the build by their path in it, without its own manifest; empty where there is no build."""
    found = sorted(path for path in FOLDER.rglob("*") if path.is_file())
    named = {path.relative_to(FOLDER).as_posix(): path for path in found}
    return {name: path.read_bytes() for name, path in named.items() if not name.startswith(".")}
