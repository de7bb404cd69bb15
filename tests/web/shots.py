"""``python -m tests.web.shots FOLDER``: a demo of its own, pictures of every page, and a contact sheet of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.web.demo import WEB, browser_env, missing, playing


def main(folder: Path) -> int:
    """Take the pictures; what the demo has found of the past is kept for the next time."""
    if lack := missing():
        print(lack, file=sys.stderr)
        return 1
    home = folder / "demo"
    for path in [*folder.glob("*.png"), *home.glob("*"), *(home / "artifacts").glob("*")]:
        if path.is_dir() and path.name not in ("artifacts", "cache"):
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()
    home.mkdir(parents=True, exist_ok=True)
    with playing(home) as demo:
        return subprocess.run(
            ["node", "e2e/shots.mjs", str(folder.resolve())],
            cwd=WEB, env=browser_env(demo, ""), timeout=3_600, check=False,
        ).returncode  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
