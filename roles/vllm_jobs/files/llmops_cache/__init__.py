# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What engines compile: kept on each node's own disk, handed to nodes that have nothing yet, and told in the job's log.

Nothing here may stand in a job's way: whatever fails is said in one line, and the engine compiles.
"""
