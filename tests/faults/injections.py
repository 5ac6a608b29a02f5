"""The disturbances. Each is made from its parameters and, entered with a stage, begins; leaving it ends it.

Where a real daemon cannot be brought to do a thing at the right moment, a fake stands in front of a Slurm command: a
script that does the disturbance before or after it calls the real command. They are called fakes in the table too.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from .model import Injection
from .stage import FOLDER, SLURM, USER, Stage

ACT = f"sudo -n {FOLDER}/act.sh"
# Message types of Slurm's protocol (src/common/slurm_protocol_defs.h).
SUBMIT, CANCEL, ANY = 4003, 5032, 0
PROXY_PORT = 16817
# There while a fake has something to do that its caller does not wait for.
PENDING = f"{FOLDER}/state/pending"

_FAKE = """#!/bin/bash
# A fake in front of the real {tool}.
real={slurm}/real/{tool}
case " $* " in *" --test-only "*) exec "$real" "$@" ;; esac
exec 9>>{folder}/state/{tool}.lock && flock 9
n=$(($(cat {folder}/state/{tool}.count 2>/dev/null || echo 0) + 1))
echo $n > {folder}/state/{tool}.count
chmod 666 {folder}/state/{tool}.* 2>/dev/null
exec 9>&-
if [ $n -gt {passes} ] && [ $n -le {last} ]; then
{body}
fi
exec "$real" "$@"
"""


@contextmanager
def nothing(stage: Stage) -> Iterator[None]:
    """The fault lies in the call itself, or in what was there before."""
    yield


def together(*injections: Injection) -> Injection:
    @contextmanager
    def inject(stage: Stage) -> Iterator[None]:
        with ExitStack() as stack:
            for one in injections:
                stack.enter_context(one(stage))
            yield

    return inject


def fake(tool: str, body: str, *, times: int = 1, passes: int = 0, host: str = "ctl") -> Injection:
    """`body` in the place of the real command, for `times` calls after the first `passes`."""
    text = _FAKE.format(tool=tool, slurm=SLURM, folder=FOLDER, body=body, passes=passes, last=passes + times)

    @contextmanager
    def inject(stage: Stage) -> Iterator[None]:
        stage.note(f"fake {tool} ({times} times after {passes}): {' '.join(body.split())}")
        restarts = stage.restarts()
        stage.run(
            f"rm -f {FOLDER}/state/{tool}.*; mv {SLURM}/bin/{tool} {SLURM}/real/{tool} && "
            f"printf %s {shlex.quote(text)} > {SLURM}/bin/{tool} && chmod 755 {SLURM}/bin/{tool}",
            host,
        )
        try:
            yield
        finally:
            stage.run(f"while [ -e {PENDING} ]; do sleep 0.1; done", host)
            stage.run(f"[ ! -e {SLURM}/real/{tool} ] || mv -f {SLURM}/real/{tool} {SLURM}/bin/{tool}", host)
        calls = int(stage.run(f"cat {FOLDER}/state/{tool}.count 2>/dev/null || echo 0", host))
        stage.happened(f"the fake {tool} was called", calls > passes)
        if "kill-controller" in body:
            stage.happened("the controller was killed", stage.restarted(restarts, patience=15 if calls > passes else 0))

    return inject


def after_real(tool: str, then: str, *, times: int = 1, tell: str = 'echo "$answer"; exit $rc') -> Injection:
    """The real command does its work, then something happens, then the caller gets its answer."""
    return fake(tool, f'answer=$("$real" "$@"); rc=$?\n{then}\n{tell}', times=times)


def detached(seconds: float, action: str) -> str:
    """Shell words of a fake: do it in so many seconds, when the caller has gone on."""
    return f"touch {PENDING}; (sleep {seconds}; {ACT} {action}; rm -f {PENDING}) >/dev/null 2>&1 </dev/null &"


def unsaved(then: Injection) -> Injection:
    """`then`, begun right after the controller saved its state: for the next seconds it saves nothing."""

    @contextmanager
    def inject(stage: Stage) -> Iterator[None]:
        with then(stage):
            stage.await_state_save()
            stage.note("the controller has just saved its state")
            yield

    return inject


def frozen(unit: str, seconds: float, *, host: str = "ctl", start_after: float = 0.0) -> Injection:
    """SIGSTOP, and SIGCONT so many seconds later."""

    @contextmanager
    def inject(stage: Stage) -> Iterator[None]:
        stop, go = (f"systemctl kill -s {signal} {unit}" for signal in ("STOP", "CONT"))
        with ExitStack() as stack:
            if start_after:
                stack.enter_context(stage.later(start_after, stop, host))
            else:
                stage.note(f"freeze {unit} on {host}")
                stage.run(stop, host)
            stack.enter_context(stage.later(start_after + seconds, go, host))
            try:
                yield
            finally:
                stack.close()
                stage.run(go, host, check=False)

    return inject


def stopped(*units: str, seconds: float | None = None, host: str = "ctl", start_after: float = 0.0) -> Injection:
    """Stopped in good order, started again so many seconds later (None: only when all is over)."""

    @contextmanager
    def inject(stage: Stage) -> Iterator[None]:
        stop, start = f"systemctl stop {' '.join(units)}", f"systemctl start {' '.join(reversed(units))}"
        with ExitStack() as stack:
            if start_after:
                stack.enter_context(stage.later(start_after, stop, host))
            else:
                stage.note(f"stop {' '.join(units)} on {host}")
                stage.run(stop, host)
            if seconds is not None:
                stack.enter_context(stage.later(start_after + seconds, start, host))
            try:
                yield
            finally:
                stack.close()
                stage.run(start, host)

    return inject


def at(seconds: float, command: str, *, host: str = "ctl", undo: str = "") -> Injection:
    """A command of an administrator, so many seconds into the call (0: before it)."""

    @contextmanager
    def inject(stage: Stage) -> Iterator[None]:
        try:
            if seconds:
                with stage.later(seconds, command, host):
                    yield
            else:
                stage.note(f"on {host}: {command}")
                stage.run(command, host)
                yield
        finally:
            if undo:
                stage.run(undo, host, check=False)

    return inject


def proxy(mode: str, message_type: int = SUBMIT, times: int = 1) -> Injection:
    """The calls' Slurm commands reach the controller through proxy.py only."""
    conf = f"{FOLDER}/state/proxy.conf"

    @contextmanager
    def inject(stage: Stage) -> Iterator[None]:
        stage.note(f"proxy: {mode}, message type {message_type}, {times} times")
        stage.run(f"sed 's/^SlurmctldPort=.*/SlurmctldPort={PROXY_PORT}/' /etc/slurm/slurm.conf > {conf}")
        stage.start(
            f"echo $$ > {FOLDER}/proxy.pid; exec python3 {FOLDER}/proxy.py {PROXY_PORT} {mode} {message_type} {times} "
            f"> {FOLDER}/state/proxy.log 2>&1"
        )
        stage.run(
            f"for i in $(seq 100); do (: </dev/tcp/127.0.0.1/{PROXY_PORT}) 2>/dev/null && exit 0; sleep 0.05; done"
        )
        stage.environment["SLURM_CONF"] = conf
        try:
            yield
        finally:
            stage.environment.pop("SLURM_CONF")
            stage.run(f"kill $(cat {FOLDER}/proxy.pid); rm -f {FOLDER}/proxy.pid", check=False)
        hits = [line for line in stage.run(f"cat {FOLDER}/state/proxy.log").splitlines() if line.endswith(mode)]
        stage.note(f"proxy: {'; '.join(hits) or 'disturbed nothing'}")
        stage.happened("the proxy disturbed a connection", bool(hits))

    return inject


def setting(**settings: str) -> Injection:
    """Other settings of slurm.conf; stage.restore() takes them back."""

    @contextmanager
    def inject(stage: Stage) -> Iterator[None]:
        stage.note(f"slurm.conf: {settings}")
        edits = "".join(
            f"sed -i '/^{name}=/d' slurm.conf; sed -i '1i {name}={value}' slurm.conf; "
            for name, value in settings.items()
        )
        stage.run(f"cd /etc/slurm && cp -n slurm.conf slurm.conf.whole && {edits} systemctl restart slurmctld")
        yield

    return inject


def job_there(script: str, *, user: str = USER, comment: str = "", options: str = "") -> str:
    """Shell words that submit a job of the fault's name ($name) by hand."""
    words = f"--comment={comment}" if comment else ""
    return (
        f"runuser -u {user} -- {SLURM}/bin/sbatch --parsable --job-name=$name --chdir=/home/vllm --output=/dev/null "
        f"--time=60 {words} {options} {FOLDER}/scripts/{script}.sh"
    )


def before(command: str) -> Injection:
    """Something that somebody did before."""

    @contextmanager
    def inject(stage: Stage) -> Iterator[None]:
        stage.note(f"before: {command}")
        stage.run(command)
        yield

    return inject
