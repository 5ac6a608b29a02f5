# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module's main() in this process, as Ansible would: arguments in, result out, check mode and diff included."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Callable

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args


def run_module(
    main: Callable[[], None], capsys: pytest.CaptureFixture[str], *, check: bool = False, **options: t.Any
) -> dict[str, t.Any]:
    """What the module printed for Ansible, so after its masking of secrets."""
    capsys.readouterr()
    warnings: list[str] = []
    with pytest.MonkeyPatch.context() as patch, patch_module_args(options | {"_ansible_check_mode": check}):
        # Ansible shows a warning instead of returning it as soon as any test has imported a part of its control side.
        patch.setattr(AnsibleModule, "warn", lambda _module, warning: warnings.append(warning))
        with pytest.raises(SystemExit):
            main()
    result: dict[str, t.Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    result["warnings"] = warnings
    result.pop("invocation", None)
    return result
