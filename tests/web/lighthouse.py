"""``make lighthouse``: a demo of its own, signed in, under ``web/tools/lighthouse``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.web.demo import WEB, playing

LOGIN = "admin@north-pier.demo"  #: sees every page


def main() -> int:
    """Exit code of the tool."""
    with tempfile.TemporaryDirectory() as folder, playing(Path(folder)) as demo:
        ours = {"REGIME_URL": demo.url, "REGIME_LOGIN": LOGIN, "REGIME_PASSWORD": demo.people[LOGIN]}
        tool = WEB / "tools" / "lighthouse"
        return subprocess.run(["node", "run.mjs"], cwd=tool, env=os.environ | ours, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
