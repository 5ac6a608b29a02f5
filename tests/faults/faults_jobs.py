"""Faults of jobs and of what is asked for: jobs that cannot start or end at once, cancels, changes, names."""

from __future__ import annotations

from .acts import killed_by_fake
from .injections import ACT, CANCEL, after_real, at, before, detached, fake, frozen, job_there, nothing, proxy, unsaved
from .model import Call, Expect, Fault
from .stage import FOLDER, STRANGER

HOPELESS = "job that cannot start"
ENDS = "job that ends early"
CANCELS = "cancel forgotten or slow"
CHANGES = "changed specification"
NAMES = "other jobs of the same name"

SUBMITTED = Call("submitted")
CHANGED = Call("submitted", "serve-v2")
ABSENT = Call("absent")
GONE = Expect(live=0, changed=1)
REPLACED = Expect(live=1, script="serve-v2", changed=1)
FOREIGN_KEY = "llmops:$name:0123456789abcdef"


def stuck(reason: str, **options: object) -> tuple[Expect, Call]:
    return (
        Expect(live=1, failed=True, changed=1, says=rf"Slurm's reason: {reason}"),
        Call("running", options=dict(options), limits={"queue_timeout": 4}),
    )


def refused(words: str, **options: object) -> tuple[Expect, Call]:
    return Expect(live=0, failed=True, says=words, within=30), Call("running", options=dict(options))


FAULTS = [
    Fault("held", HOPELESS, nothing, *stuck("JobHeldUser", hold=True), quick=True),
    Fault("begins-tomorrow", HOPELESS, nothing, *stuck("BeginTime", begin="now+1day")),
    Fault(
        "waits-for-a-job-that-failed",
        HOPELESS,
        before(
            f"name=other; {job_there('fails', user=STRANGER)} > {FOLDER}/state/other; "
            "while squeue -h -n other | grep -q .; do sleep 0.2; done"
        ),
        Expect(live=1, failed=True, changed=1, says=r"can never start \(Slurm's reason: DependencyNeverSatisfied"),
        Call("running", options={"dependency": "afterok:@other"}, limits={"queue_timeout": 60}),
    ),
    Fault(
        "waits-for-its-name-to-be-free",
        HOPELESS,
        before(job_there("foreign")),
        Expect(live=1, foreign=1, failed=True, changed=1, says="Slurm's reason: Dependency"),
        Call("running", options={"dependency": "singleton"}, limits={"queue_timeout": 4}),
    ),
    Fault(
        "partition-down",
        HOPELESS,
        at(0, "scontrol update partitionname=gpu state=down", undo="scontrol update partitionname=gpu state=up"),
        *stuck("PartitionDown"),
    ),
    Fault(
        "unknown-partition", HOPELESS, nothing, *refused("invalid partition specified", partition="nowhere"), quick=True
    ),
    Fault("more-gpus-than-there-are", HOPELESS, nothing, *refused("not available|BadConstraints", gres="gpu:99")),
    Fault(
        "no-folder-for-its-output",
        HOPELESS,
        nothing,
        Expect(live=0, failed=True, changed=1, begun=0, says="could not start it: is the folder of its output there"),
        Call("running", options={"output": "/nowhere/%j.out"}),
    ),
    Fault(
        "fails-at-once",
        ENDS,
        nothing,
        Expect(live=0, failed=True, changed=1, says="exit code 3(?s:.)*no such model: phi9"),
        Call("running", "fails"),
        quick=True,
    ),
    Fault(
        "fails-later",
        ENDS,
        nothing,
        Expect(live=0, failed=True, changed=1, begun=1, says="exit code 1(?s:.)*out of memory on device 0"),
        Call("completed", "fails-late"),
    ),
    Fault(
        "dies-of-a-signal",
        ENDS,
        nothing,
        Expect(live=0, failed=True, changed=1, begun=1, says="SIGSEGV"),
        Call("completed", "dies"),
    ),
    Fault(
        "cancelled-by-somebody",
        ENDS,
        at(5, "scancel --name=$name"),
        Expect(live=0, failed=True, changed=1, says="CANCELLED"),
        Call("completed", "works-12s"),
    ),
    Fault(
        "time-limit",
        ENDS,
        nothing,
        Expect(live=0, failed=True, changed=1, says="TIMEOUT.*more time"),
        Call("completed", "serve-v1", options={"time": "1"}),
    ),
    Fault(
        "requeued-and-held",
        ENDS,
        before("scontrol requeuehold $id; sleep 3"),
        Expect(live=1, failed=True, changed=0, same_job=True, says="held"),
        Call("running", limits={"queue_timeout": 4}),
        first=Call("running"),
    ),
    Fault(
        "controller-killed-at-once",
        CANCELS,
        unsaved(after_real("scancel", f"{ACT} kill-controller")),
        GONE,
        ABSENT,
        first=Call("running"),
    ),
    Fault(
        "controller-killed-1s-later",
        CANCELS,
        unsaved(after_real("scancel", detached(1, "kill-controller"))),
        GONE,
        ABSENT,
        first=Call("running"),
        quick=True,
    ),
    Fault(
        "pending-job-controller-killed-1s-later",
        CANCELS,
        unsaved(after_real("scancel", detached(1, "kill-controller"))),
        GONE,
        ABSENT,
        first=Call("submitted", options={"hold": True}),
    ),
    Fault("fake-scancel-does-nothing", CANCELS, fake("scancel", "exit 0"), GONE, ABSENT, first=Call("running")),
    Fault("fake-scancel-fails", CANCELS, fake("scancel", "exit 1", times=2), GONE, ABSENT, first=Call("running")),
    Fault("request-of-scancel-dropped", CANCELS, proxy("refuse", CANCEL, 2), GONE, ABSENT, first=Call("running")),
    Fault("job-ignores-sigterm", CANCELS, nothing, GONE, ABSENT, first=Call("running", "stubborn")),
    Fault(
        "node-frozen",
        CANCELS,
        frozen("slurmd", 10, host="gpu1"),
        GONE,
        ABSENT,
        first=Call("running", options={"nodelist": "gpu1"}),
    ),
    Fault("replaced", CHANGES, nothing, REPLACED, CHANGED, first=SUBMITTED, again=True, quick=True),
    Fault(
        "controller-killed-after-the-cancel",
        CHANGES,
        unsaved(after_real("scancel", f"{ACT} kill-controller")),
        REPLACED,
        CHANGED,
        first=SUBMITTED,
    ),
    Fault(
        "controller-killed-1s-after-the-new-job",
        CHANGES,
        unsaved(after_real("sbatch", detached(1, "kill-controller"))),
        REPLACED,
        CHANGED,
        first=SUBMITTED,
    ),
    Fault("answer-lost-of-the-new-job", CHANGES, proxy("drop"), REPLACED, CHANGED, first=SUBMITTED),
    Fault(
        "new-one-refused",
        CHANGES,
        nothing,
        Expect(live=1, failed=True, changed=0, same_job=True, says="Nothing was changed"),
        Call("submitted", "serve-v2", options={"partition": "nowhere"}),
        first=SUBMITTED,
    ),
    Fault(
        "kept",
        CHANGES,
        nothing,
        Expect(live=1, changed=0, same_job=True, says="on_change is keep"),
        Call("submitted", "serve-v2", on_change="keep"),
        first=SUBMITTED,
        plain=False,
    ),
    Fault(
        "forbidden",
        CHANGES,
        nothing,
        Expect(live=1, failed=True, changed=0, same_job=True, says="on_change is fail"),
        Call("submitted", "serve-v2", on_change="fail"),
        first=SUBMITTED,
        plain=False,
    ),
    Fault(
        "client-killed-between-cancel-and-submission",
        CHANGES,
        fake("sbatch", f"{ACT} kill-client; exit 1"),
        Expect(live=1, script="serve-v2"),
        CHANGED,
        first=SUBMITTED,
        act=killed_by_fake,
    ),
    Fault(
        "left-over-of-an-older-specification",
        CHANGES,
        before(job_there("serve-v2", comment=FOREIGN_KEY)),
        Expect(live=1, changed=1, same_job=True),
        first=SUBMITTED,
    ),
    Fault(
        "of-the-same-user",
        NAMES,
        before(job_there("foreign")),
        Expect(live=1, changed=1, foreign=1),
        again=True,
        quick=True,
    ),
    Fault(
        "of-another-user",
        NAMES,
        before(job_there("foreign", user=STRANGER)),
        Expect(live=1, changed=1, foreign=1),
        again=True,
    ),
    Fault(
        "comment-like-ours",
        NAMES,
        before(job_there("foreign", comment="llmops:not-ours:0123456789abcdef")),
        Expect(live=1, changed=1, foreign=1),
    ),
    Fault(
        "not-cancelled-with-ours",
        NAMES,
        before(job_there("foreign")),
        Expect(live=0, changed=1, foreign=1),
        ABSENT,
        first=SUBMITTED,
    ),
    Fault(
        "two-of-ours",
        NAMES,
        before(job_there("serve-v1", comment='"$(squeue -h -j $id -o %k)"')),
        Expect(live=1, changed=1, same_job=True),
        first=Call("running"),
        call=Call("running"),
    ),
]
