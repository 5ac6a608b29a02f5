"""Faults around the moment of submission: lost answers, a controller that dies, clients that die, many at once."""

from __future__ import annotations

import random

from .acts import at_once, killed_after, killed_by_fake, playbooks
from .injections import ACT, after_real, detached, fake, nothing, proxy, unsaved
from .model import Call, Expect, Fault

LOST = "sbatch's answer is lost"
KILLED = "controller killed after its answer"
CLIENT = "client killed"
CROWD = "several at once"

TIMED_OUT = "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2"
# Time for two calls of the module: fixed, so that a failure can be repeated.
_RANDOM = random.Random(20261121)
MOMENTS = [round(_RANDOM.uniform(0.1, 2.0), 3) for _ in range(6)]

ONE = Expect(live=1, changed=1)
ONE_WORKER = Expect(live=1, changed=1, begun=1)

FAULTS = [
    Fault(
        "frozen-controller-takes-it",
        LOST,
        fake("sbatch", f"{ACT} freeze-controller 12"),
        ONE_WORKER,
        again=True,
        quick=True,
    ),
    Fault("frozen-for-25-seconds", LOST, fake("sbatch", f"{ACT} freeze-controller 25"), ONE_WORKER, again=True),
    Fault("answer-dropped-by-proxy", LOST, proxy("drop"), ONE_WORKER, again=True, quick=True),
    Fault("answer-dropped-twice", LOST, proxy("drop", times=2), ONE_WORKER),
    Fault("answer-cut-in-half", LOST, proxy("truncate"), ONE_WORKER, again=True),
    Fault("answer-held-back", LOST, proxy("hold"), ONE_WORKER, again=True),
    Fault("request-dropped", LOST, proxy("refuse"), ONE_WORKER, again=True),
    Fault("request-late", LOST, proxy("delay"), ONE, again=True),
    Fault("fake-says-timed-out", LOST, after_real("sbatch", "", tell=f"{TIMED_OUT}; exit 1"), ONE_WORKER, again=True),
    Fault("fake-says-nonsense", LOST, after_real("sbatch", "", tell="echo 'bad weather'; exit 0"), ONE_WORKER),
    Fault("fake-says-nothing", LOST, after_real("sbatch", "", tell="exit 0"), ONE_WORKER, again=True),
    Fault("sbatch-killed-after-it-asked", LOST, after_real("sbatch", "", tell="kill -9 $$"), ONE_WORKER, again=True),
    Fault("sbatch-killed-before-it-asked", LOST, fake("sbatch", "kill -9 $$"), ONE_WORKER, quick=True),
    Fault(
        "never-an-answer",
        LOST,
        fake("sbatch", f"{TIMED_OUT}; exit 1", times=99),
        Expect(live=0, failed=True, says="3 times there was no clear answer"),
    ),
    Fault(
        "answer-lost-of-a-job-that-is-over",
        LOST,
        after_real("sbatch", "sleep 1", tell=f"{TIMED_OUT}; exit 1"),
        Expect(live=0, begun=1, changed=1),
        Call("completed", "ends"),
    ),
    Fault(
        "killed-at-once", KILLED, unsaved(after_real("sbatch", f"{ACT} kill-controller")), ONE, again=True, quick=True
    ),
    Fault(
        "killed-at-once-while-waited-for",
        KILLED,
        unsaved(after_real("sbatch", f"{ACT} kill-controller")),
        ONE,
        Call("running"),
    ),
    Fault("killed-after-1s", KILLED, unsaved(after_real("sbatch", detached(1, "kill-controller"))), ONE, quick=True),
    Fault("killed-after-2s", KILLED, unsaved(after_real("sbatch", detached(2, "kill-controller"))), ONE),
    Fault("killed-after-3s", KILLED, unsaved(after_real("sbatch", detached(3, "kill-controller"))), ONE),
    Fault("killed-after-5s", KILLED, unsaved(after_real("sbatch", detached(5, "kill-controller"))), ONE),
    Fault(
        "killed-after-1s-while-waited-for",
        KILLED,
        unsaved(after_real("sbatch", detached(1, "kill-controller"))),
        ONE,
        Call("running"),
    ),
    Fault(
        "killed-after-1s-of-a-pending-job",
        KILLED,
        unsaved(after_real("sbatch", detached(1, "kill-controller"))),
        ONE,
        Call("submitted", options={"hold": True}),
    ),
    Fault("killed-twice", KILLED, unsaved(after_real("sbatch", f"{ACT} kill-controller", times=2)), ONE),
    Fault("killed-before-sbatch", KILLED, fake("sbatch", f"{ACT} kill-controller"), ONE),
    Fault(
        "killed-while-work-is-waited-for",
        KILLED,
        unsaved(after_real("sbatch", detached(1, "kill-controller"))),
        Expect(live=0, changed=1),
        Call("completed", "works-12s"),
    ),
    *[
        Fault(
            f"client-killed-at-{int(moment * 1000)}ms",
            CLIENT,
            nothing,
            Expect(live=1),
            act=killed_after(moment),
            quick=not index,
        )
        for index, moment in enumerate(MOMENTS)
    ],
    Fault(
        "client-killed-before-sbatch",
        CLIENT,
        fake("sbatch", f"{ACT} kill-client; exit 1"),
        ONE_WORKER,
        act=killed_by_fake,
    ),
    Fault(
        "client-killed-after-sbatch",
        CLIENT,
        after_real("sbatch", f"{ACT} kill-client"),
        Expect(live=1, begun=1),
        act=killed_by_fake,
        again=True,
    ),
    Fault(
        "client-killed-its-sbatch-goes-on",
        CLIENT,
        fake("sbatch", f"{ACT} kill-client; sleep 3"),
        Expect(live=1),
        act=killed_by_fake,
        quick=True,
    ),
    Fault(
        "client-killed-while-it-waits",
        CLIENT,
        nothing,
        Expect(live=0, begun=1),
        Call("completed", "works-12s"),
        act=killed_after(5),
    ),
    Fault("five-playbooks", CROWD, nothing, ONE_WORKER, act=playbooks(5), quick=True),
    Fault("five-on-one-host", CROWD, nothing, ONE_WORKER, act=at_once(5)),
    Fault("two-on-two-hosts", CROWD, nothing, Expect(live=1), act=at_once(2, "ctl", "gpu1")),
    Fault("six-on-three-hosts", CROWD, nothing, Expect(live=1), act=at_once(6, "ctl", "gpu1", "gpu2"), again=True),
    Fault(
        "two-specifications",
        CROWD,
        nothing,
        Expect(live=1, script=""),
        act=at_once(2, scripts=("serve-v1", "serve-v2")),
        plain=False,
    ),
    Fault(
        "five-want-it-completed",
        CROWD,
        nothing,
        Expect(live=0, begun=1, changed=1),
        Call("completed", "ends"),
        act=at_once(5),
    ),
    Fault(
        "one-loses-its-answer",
        CROWD,
        after_real("sbatch", "", tell=f"{TIMED_OUT}; exit 1"),
        ONE_WORKER,
        act=at_once(3),
    ),
]
