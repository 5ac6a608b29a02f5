# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line. Run as a folder: python .../llmops_batch REQUESTS ANSWERS -- ENGINE..."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# Run by its path: the folder above is not where Python looks.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from llmops_batch import __doc__ as about
from llmops_batch.answers import finish
from llmops_batch.errors import BatchError
from llmops_batch.run import answer_all

# More than an engine runs at once (max_num_seqs) only waits inside it.
CONCURRENCY = 256


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="llmops_batch",
        usage="%(prog)s [--concurrency N] REQUESTS ANSWERS -- ENGINE...\n       %(prog)s --finish REQUESTS ANSWERS",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--finish", action="store_true", help="put the answers of all tasks together")
    parser.add_argument("--concurrency", type=int, default=CONCURRENCY, help="requests at once (default: %(default)s)")
    parser.add_argument("requests", type=Path, help="a line of JSON for each request")
    parser.add_argument("answers", type=Path, help="where the answers go")
    # Behind the first -- nothing is ours, whatever it looks like.
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    engine = words[cut + 1 :]
    asked = parser.parse_args(words[:cut])
    try:
        if asked.finish:
            print(finish(asked.requests, asked.answers))
        elif engine and asked.concurrency >= 1:
            answer_all(asked.requests, asked.answers, engine, asked.concurrency)
        else:
            parser.error("give the engine's command line after --, and at least 1 request at once")
    except BatchError as error:
        print(error, file=sys.stderr)
        return error.status
    return 0


if __name__ == "__main__":
    sys.exit(main())
