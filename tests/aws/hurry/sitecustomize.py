"""For Pythons that have this folder in PYTHONPATH: nobody sleeps long.

Modules wait between their tries of a call (amazon.aws up to a minute, ten times) and for EC2 to get something done. A
test of every call wants to see what becomes of it, and an emulator has nothing that takes time.
"""

import time
from typing import SupportsIndex

_LONGEST = 0.05
_sleep = time.sleep


def _hurry(seconds: float | SupportsIndex) -> None:
    _sleep(min(float(seconds), _LONGEST))


time.sleep = _hurry
