# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Driver of Slurm's elastic nodes for EC2. Its contract is in docs/elastic.md, the rest in docs/aws-elastic.md."""
