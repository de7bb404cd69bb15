"""Who runs this process: the user of the operating system."""

from __future__ import annotations

import getpass
import os


def local_subject() -> str:
    """``local:<login name>``, or the number of the user where it has no name."""
    try:
        import pwd

        return f"local:{pwd.getpwuid(os.getuid()).pw_name}"
    except (ImportError, KeyError):
        pass
    try:
        return f"local:{getpass.getuser()}"
    except (OSError, KeyError, ImportError):
        return f"local:uid-{os.getuid()}" if hasattr(os, "getuid") else "local:unknown"
