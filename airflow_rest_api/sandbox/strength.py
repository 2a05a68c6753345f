"""How well a process in the sandbox is separated from the service.

`full`: namespaces. `partial`: Landlock and filters of system calls, without namespaces. `weak`: limits, and another
identity where the service runs as root.
"""

from __future__ import annotations

from typing import Literal

Strength = Literal["full", "partial", "weak"]
