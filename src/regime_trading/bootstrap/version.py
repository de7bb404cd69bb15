"""Which code decides: version and hash of the sources that can change a decision."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from regime_trading import __version__
from regime_trading.core.canonical import sha256_hex

PURE_LAYERS = ("core", "tools", "guards", "engine")


@cache
def code_version() -> str:
    """Version of the package, and a hash over the sources that can change a decision."""
    package = Path(__file__).parent.parent
    files = sorted(path for layer in PURE_LAYERS for path in (package / layer).rglob("*.py"))
    listed = [f"{path.relative_to(package).as_posix()} {sha256_hex(path.read_bytes())}" for path in files]
    return f"{__version__}+{sha256_hex(chr(10).join(listed).encode())[:12]}"
