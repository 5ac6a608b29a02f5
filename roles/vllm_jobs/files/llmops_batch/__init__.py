# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answer a file of requests in the form of OpenAI's batches with an engine that this program starts and ends.

Run by a batch job, by one task of it or by several. Each task takes its share of the requests and writes every answer
at once into ANSWERS.part (ANSWERS.part.N for task N), so that a job that was stopped, requeued or submitted again goes
on where it was. `--finish` puts the parts together in the order of the requests, when none is missing.

Exit status: 0 all answered; 2 wrong use; 65 requests that cannot be asked; 66 a file that cannot be read; 70 the
engine failed; 75 answers are missing, submit the job again; 143 stopped by a signal.
"""
