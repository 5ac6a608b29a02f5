# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slurm jobs as resources: what the modules slurm_job and slurm_job_info are made of. Private to the collection.

Where to change what: `spec` is what a job shall be and its key, `command` the argument vectors, `parse` (JSON),
`parse_text` and `values` what Slurm answers, `states` what its words mean, `decide` what has to be done, `kept` whether
that is nothing, `submit` how a job is made once, `wait` how it is waited for, `report` what a person reads, `client`
the only file that talks to Slurm, `manage` the order of it all.

Most tasks find their jobs as wanted, and most of this is not needed then. Ansible sends source, and Python compiles it
anew in each task on each host, twice over (zipimport). So what only some runs need is imported where it is needed, and
patterns are plain text, which `re` compiles at their first use.
"""
