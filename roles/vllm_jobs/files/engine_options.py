# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print the options of `vllm serve` as JSON, from the parser of the vLLM that is installed.

Run with the engine's Python. Building the parser imports the engine, which takes seconds: the answer is kept in the
folder given as argument, by the name of the environment, which holds version and build.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys
import typing as t
from pathlib import Path

# Where releases keep the function that fills the parser, the newest first.
_PLACES = ("vllm.entrypoints.launchers.cli_args", "vllm.entrypoints.openai.cli_args")


def _filler() -> t.Any:
    for place in _PLACES:
        with contextlib.suppress(ImportError):
            return importlib.import_module(place).make_arg_parser
    raise SystemExit(f"This vLLM has its parser in none of {', '.join(_PLACES)}.")


def options() -> dict[str, t.Any]:
    """Each option with the values it takes; none where it takes any."""
    with contextlib.redirect_stdout(io.StringIO()):
        utils = importlib.import_module("vllm.utils.argparse_utils")
        parser = _filler()(utils.FlexibleArgumentParser())
        version = importlib.import_module("vllm").__version__
    found = {
        name: [str(choice) for choice in action.choices] if action.choices else None
        for action in parser._actions
        for name in action.option_strings
    }
    return {"version": version, "options": found}


def main() -> None:
    kept = Path(sys.argv[1]) / f"options-{Path(os.path.realpath(sys.prefix)).name}.json"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_suffix(".new")
        temporary.write_text(json.dumps(options()))
        temporary.replace(kept)
    sys.stdout.write(kept.read_text())


if __name__ == "__main__":
    main()
