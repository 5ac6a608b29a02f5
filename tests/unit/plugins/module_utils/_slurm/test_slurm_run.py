# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess
import sys

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import run

CALL = f"""
import runpy
run = runpy.run_path({run.__file__!r})["run"]
print(ascii(run(["/bin/sh", "-c", 'printf %s,%s "$1" "$A"', "sh", "\\xe9\\U0001f600\\udc80"], {{"A": "\\xe9"}}).out))
"""


@pytest.mark.parametrize(
    "variables", [{"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_words_are_utf8_whatever_the_locale(variables: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", CALL], env=variables, capture_output=True, text=True, check=False)
    # The last byte was none of UTF-8 before either, and is shown as such.
    assert done.stdout == "'\\xe9\\U0001f600\\ufffd,\\xe9'\n", done.stderr
