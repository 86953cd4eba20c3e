"""Who gives an order here, as the operating system has it."""

from __future__ import annotations

import os
import pwd


def os_user() -> str:
    """The user of this process: never what the environment says of it, which anybody can set."""
    user = os.getuid()
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:  # a container's user need not be in its password file
        return str(user)
