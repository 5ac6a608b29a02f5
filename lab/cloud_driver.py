#!/usr/bin/python3
"""Driver of elastic nodes for the lab: hands each call to the lab's server. Runs on ctl; see docs/elastic.md."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request

THROTTLED, PERMANENT = 11, 12


def main() -> int:
    request = json.load(sys.stdin)
    settings = request.pop("settings")
    call = urllib.request.Request(
        f"{settings['url']}/{sys.argv[1]}",
        data=json.dumps(request).encode(),
        headers={"Authorization": f"Bearer {settings['token']}"},
    )
    try:
        with urllib.request.urlopen(call, timeout=100) as answer:
            sys.stdout.write(answer.read().decode())
    except urllib.error.HTTPError as error:
        sys.stderr.write(f"{settings['url']}: {error}")
        return PERMANENT
    except OSError as error:
        sys.stderr.write(f"{settings['url']}: {error}")
        return THROTTLED
    return 0


if __name__ == "__main__":
    sys.exit(main())
