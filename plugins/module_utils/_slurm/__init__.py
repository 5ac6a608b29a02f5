# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slurm jobs as resources: what the modules slurm_job and slurm_job_info are made of. Private to the collection.

Where to change what: `spec` is what a job shall be and its key, `command` the argument vectors, `parse` what Slurm
answers, `states` what its words mean, `decide` what has to be done, `submit` how a job is made once, `wait` how it is
waited for, `report` what a person reads, `client` the only file that talks to Slurm, `manage` the order of it all.
"""
