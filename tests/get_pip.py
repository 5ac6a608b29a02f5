"""Stand-in for pip's installer that ansible-test would fetch from a site of its own: uses what Python carries."""

from __future__ import annotations

import subprocess
import sys

# A child, because ensurepip switches pip's configuration off in its own process.
subprocess.check_call([sys.executable, "-m", "ensurepip", "--upgrade", "--default-pip"], stdout=subprocess.DEVNULL)
wanted = [word for word in sys.argv[1:] if word.startswith("pip==")]
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted]))
