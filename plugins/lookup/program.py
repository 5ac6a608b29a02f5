# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs a program of the collection into one file that Python runs."""

from __future__ import annotations

DOCUMENTATION = r"""
name: program
short_description: Pack a program of this collection into one file
version_added: 0.1.0
author: llmops.cluster maintainers (@llmops)
description:
  - Packs a package of the collection's C(module_utils), and all of C(module_utils) that it imports, into a file that
    Python runs (a zipapp), and returns the file's path on the control machine.
  - The file is made in Ansible's own folder for temporary files, which Ansible removes when it ends. The same sources
    make the same bytes, so that copying the file to a host twice changes nothing.
options:
  _terms:
    description:
      - The packages, each with a module C(main) that has a function C(main) returning an exit code.
    required: true
    type: list
    elements: str
  sha256:
    description:
      - Whether to return the SHA-256 sum of the file, in hexadecimal, instead of its path.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Install the manager
  ansible.builtin.copy:
    src: "{{ lookup('llmops.cluster.program', '_manager') }}"
    dest: /usr/local/lib/llmops/vllm-manager.pyz
    mode: "0644"
"""

RETURN = r"""
_raw:
  description: The path of each file on the control machine, or its sum.
  type: list
  elements: str
"""

import hashlib
import typing as t

from ansible import constants
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.llmops.cluster.plugins.module_utils._program import ProgramError, pack, write


def _temporary() -> str:
    """Ansible makes the folder when it starts and names it where its constants are."""
    return str(getattr(constants, "DEFAULT_LOCAL_TMP"))  # noqa: B009 - made at run time, so no checker knows it


class LookupModule(LookupBase):
    """Packs programs."""

    def run(self, terms: list[t.Any], variables: t.Any = None, **kwargs: t.Any) -> list[str]:
        try:
            if kwargs.get("sha256", False):
                return [hashlib.sha256(pack(str(term))).hexdigest() for term in terms]
            return [write(pack(str(term)), str(term), _temporary()) for term in terms]
        except (OSError, ProgramError) as error:
            raise AnsibleLookupError(f"Packing {', '.join(map(str, terms))} failed: {error}") from error
