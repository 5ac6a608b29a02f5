# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.llmops.cluster.plugins.module_utils._diff import DifferenceTracker


def test_equal_values_leave_no_trace() -> None:
    tracker = DifferenceTracker()
    tracker.add("time", "1:00", "1:00")
    assert tracker.empty
    assert tracker.names == []
    assert tracker.before_after() == {"before": {}, "after": {}}


def test_one_record_decides_and_shows() -> None:
    tracker = DifferenceTracker()
    tracker.add("time", "1:00", "2:00")
    tracker.add("chdir", None, "/srv")
    assert not tracker.empty
    assert tracker.names == ["time", "chdir"]
    assert tracker.before_after() == {
        "before": {"time": "1:00", "chdir": None},
        "after": {"time": "2:00", "chdir": "/srv"},
    }
