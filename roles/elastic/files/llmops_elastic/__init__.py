# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes of Slurm that appear on demand and go when idle. Runs on the controller as Slurm's user; Python 3.9 or newer.

Rooms: model (what is known of nodes, instances, jobs), parse (Slurm's words to these), state (what is remembered
between runs, and the lock), decide (what follows for the power of nodes, without any I/O), sweep (what went astray),
driver (the program that starts and stops), slurm (scontrol), commands (one for each way this is called), status (what
people read), settings, __main__.
"""
