"""Faults of the daemons and commands that answer: controller, squeue, accounting, munge, nodes."""

from __future__ import annotations

from .injections import (
    ACT,
    ANY,
    after_real,
    at,
    before,
    fake,
    frozen,
    job_there,
    proxy,
    setting,
    stopped,
    together,
)
from .model import Call, Expect, Fault

AWAY = "controller away"
LIAR = "squeue empty, failing, or odd"
ACCOUNTING = "accounting down or late"
MUNGE = "munge away"
NODES = "nodes lost"

ONE = Expect(live=1, changed=1)
SAME = Expect(live=1, changed=0, same_job=True)
DONE = Expect(live=0, begun=1, changed=1)
SUBMITTED = Call("submitted")
WORK = Call("completed", "works-12s")
EMPTY = fake("squeue", "exit 0", times=9999)
NO_CONTROLLER = "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1"

FAULTS = [
    Fault("stopped-for-6s", AWAY, stopped("slurmctld", seconds=6), ONE, again=True, quick=True),
    Fault("frozen-for-14s", AWAY, frozen("slurmctld", 14), ONE, again=True),
    Fault(
        "stopped-for-good",
        AWAY,
        stopped("slurmctld"),
        Expect(live=0, failed=True, changed=0, says="no answer for 1[2-5][0-9] seconds.*scontrol ping", within=170),
    ),
    Fault("restarted-between-answer-and-look", AWAY, after_real("sbatch", f"{ACT} restart-controller"), ONE),
    Fault("stopped-while-work-is-waited-for", AWAY, stopped("slurmctld", start_after=5, seconds=6), DONE, WORK),
    Fault("frozen-while-work-is-waited-for", AWAY, frozen("slurmctld", 13, start_after=5), DONE, WORK),
    Fault("restarted-under-a-job", AWAY, before("systemctl restart slurmctld"), SAME, first=SUBMITTED),
    Fault("killed-under-a-saved-job", AWAY, before("sleep 8; systemctl kill -s KILL slurmctld"), SAME, first=SUBMITTED),
    Fault(
        "stopped-at-a-cancel",
        AWAY,
        stopped("slurmctld", seconds=6),
        Expect(live=0, changed=1),
        Call("absent"),
        first=SUBMITTED,
    ),
    Fault("first-six-answers-dropped", AWAY, proxy("drop", ANY, 6), ONE),
    Fault("every-answer-late", AWAY, proxy("hold", ANY, 2), ONE),
    Fault(
        "rate-limited",
        AWAY,
        setting(SlurmctldParameters="enable_configless,rl_enable,rl_bucket_size=3,rl_refill_rate=1"),
        ONE,
        again=True,
    ),
    Fault("empty-beside-a-live-job", LIAR, EMPTY, SAME, first=SUBMITTED, quick=True),
    Fault("empty-while-submitting", LIAR, EMPTY, Expect(live=1, changed=1, begun=1), again=True),
    Fault(
        "empty-without-sbatch's-answer".replace("'", ""),
        LIAR,
        together(EMPTY, after_real("sbatch", "", tell="exit 0")),
        Expect(live=1, changed=1, begun=1),
    ),
    Fault(
        "empty-while-a-start-is-waited-for",
        LIAR,
        EMPTY,
        Expect(live=1, changed=1, begun=1),
        Call("running", options={"begin": "now+10"}),
    ),
    Fault("empty-while-work-is-waited-for", LIAR, EMPTY, DONE, WORK),
    Fault("empty-at-a-cancel", LIAR, EMPTY, Expect(live=0, changed=1), Call("absent"), first=SUBMITTED),
    Fault("fails-four-times", LIAR, fake("squeue", NO_CONTROLLER, times=4), SAME, first=SUBMITTED, quick=True),
    Fault(
        "json-cut-off",
        LIAR,
        fake("squeue", 'case " $* " in *" --json "*) "$real" "$@" | head -c 200; exit 0;; esac', times=99),
        SAME,
        first=SUBMITTED,
    ),
    Fault(
        "no-json-in-this-slurm",
        LIAR,
        fake(
            "squeue",
            'case " $* " in *" --json "*) echo \'squeue: unrecognized option --json\' >&2; exit 1;; esac',
            times=99,
        ),
        SAME,
        first=SUBMITTED,
    ),
    Fault("hangs-once", LIAR, fake("squeue", "sleep 200; exit 1"), ONE, plain=False),
    Fault("scontrol-fails-four-times", LIAR, fake("scontrol", NO_CONTROLLER, times=4), ONE, again=True),
    Fault("slurmdbd-stopped", ACCOUNTING, stopped("slurmdbd"), ONE, again=True, quick=True),
    Fault("mariadb-stopped", ACCOUNTING, stopped("mariadb"), ONE, again=True),
    Fault("slurmdbd-and-mariadb-stopped-for-work", ACCOUNTING, stopped("slurmdbd", "mariadb"), DONE, WORK),
    Fault("slurmdbd-frozen", ACCOUNTING, frozen("slurmdbd", 20), ONE),
    Fault("sacct-fails", ACCOUNTING, fake("sacct", "exit 1", times=99), DONE, Call("completed", "ends")),
    Fault(
        "controller-forgot-the-completed-job",
        ACCOUNTING,
        together(
            setting(MinJobAge="2"),
            before("for i in $(seq 150); do scontrol show job $id >/dev/null 2>&1 || exit 0; sleep 1; done; exit 1"),
        ),
        Expect(live=0, begun=1, changed=0),
        Call("completed", "ends"),
        first=Call("completed", "ends"),
    ),
    Fault("munge-stopped-for-6s", MUNGE, stopped("munge", seconds=6), ONE, again=True, quick=True),
    Fault("munge-frozen-for-12s", MUNGE, frozen("munge", 12), ONE, again=True),
    Fault("munge-stopped-at-sbatch", MUNGE, fake("sbatch", f"{ACT} stop-munge 6"), ONE, again=True),
    Fault(
        "munge-stopped-after-sbatch",
        MUNGE,
        after_real("sbatch", f"{ACT} stop-munge 6"),
        ONE,
    ),
    Fault(
        "slurmd-stopped-under-a-job",
        NODES,
        stopped("slurmd", host="gpu1"),
        SAME,
        first=Call("running", options={"nodelist": "gpu1"}),
        call=Call("running", options={"nodelist": "gpu1"}),
        quick=True,
    ),
    Fault(
        "slurmd-frozen-at-the-launch",
        NODES,
        together(frozen("slurmd", 8, host="gpu1"), frozen("slurmd", 8, host="gpu2")),
        ONE,
        Call("running"),
    ),
    Fault(
        "node-down-and-job-requeued",
        NODES,
        together(frozen("slurmd", 55, host="gpu1"), frozen("slurmd", 55, host="gpu2"), before("sleep 45")),
        SAME,
        first=SUBMITTED,
    ),
    Fault(
        "node-drained",
        NODES,
        at(0, "scontrol update nodename=gpu[1-2] state=drain reason=test"),
        SAME,
        first=Call("running"),
    ),
    Fault(
        "no-node-to-run-on",
        NODES,
        at(0, "scontrol update nodename=gpu[1-2] state=drain reason=test"),
        Expect(
            live=1, failed=True, changed=1, says=r"queue_timeout allows \(Slurm's reason: .*(DRAIN|NotAvail|Resources)"
        ),
        Call("running", limits={"queue_timeout": 4}),
    ),
    Fault(
        "requeued-by-somebody",
        NODES,
        before("scontrol requeue $id"),
        SAME,
        first=Call("running"),
        call=SUBMITTED,
    ),
    Fault(
        "all-gpus-taken",
        NODES,
        before(f"name=other; {job_there('foreign', options='--exclusive --nodes=2')}; sleep 2"),
        Expect(live=1, failed=True, changed=1, says=r"Slurm's reason: (Resources|Priority)"),
        Call("running", limits={"queue_timeout": 4}),
    ),
]
