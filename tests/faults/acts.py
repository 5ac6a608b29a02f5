"""What the callers do under a fault, when that is more than one call."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from .actors import Actor, SlurmJob
from .model import Answer, Call

Act = Callable[[Actor, Call], list[Answer]]


def killed_after(seconds: float) -> Act:
    """The client gets SIGKILL so many seconds after its start; the call is made again at once."""

    def act(actor: Actor, call: Call) -> list[Answer]:
        first = actor.start(call, kill_after=seconds).wait()
        actor.stage.note(f"client killed after {seconds:.3f} s ({first.words[:60]}); again at once")
        return [first, actor.run(call)]

    return act


def killed_by_fake(actor: Actor, call: Call) -> list[Answer]:
    """A fake kills the client; the call is made again at once."""
    first = actor.start(call).wait()
    actor.stage.note(f"the client is gone ({first.words[:60]}); again at once")
    return [first, actor.run(call)]


def at_once(number: int, *hosts: str, scripts: tuple[str, ...] = ()) -> Act:
    """So many calls start in the same moment, spread over the hosts (and over the scripts, if more than one)."""

    def act(actor: Actor, call: Call) -> list[Answer]:
        calls = []
        for index in range(number):
            one = replace(call, host=(hosts or ("ctl",))[index % max(1, len(hosts))])
            calls.append(replace(one, script=scripts[index % len(scripts)]) if scripts else one)
        running = [actor.start(one) for one in calls]
        answers = [one.wait() for one in running]
        for answer in answers:
            actor.stage.note(
                f"  {answer.seconds:.1f} s, failed={answer.failed} changed={answer.changed}: {answer.words}"
            )
        return answers

    return act


def one_after_the_other(number: int, pause: float) -> Act:
    def act(actor: Actor, call: Call) -> list[Answer]:
        answers = []
        for _ in range(number):
            answers.append(actor.run(call))
            time.sleep(pause)
        return answers

    return act


def playbooks(number: int) -> Act:
    """So many real runs of ansible-playbook in the same moment; a plain script stands for itself."""

    def act(actor: Actor, call: Call) -> list[Answer]:
        if not isinstance(actor, SlurmJob):
            return at_once(number)(actor, call)
        task = {"name": "Submit it", "become": True, "llmops.cluster.slurm_job": actor.options(call)}
        play = {"name": "One job", "hosts": "ctl", "gather_facts": False, "tasks": [task]}
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(number) as pool:
            path = Path(folder) / "play.yml"
            path.write_text(json.dumps([play]))
            began = time.monotonic()
            plays = list(pool.map(lambda _: actor.stage.cluster.play(str(path)), range(number)))
        seconds = time.monotonic() - began
        return [Answer(play.rc != 0, play.words[-800:], bool(play.changed), seconds=seconds) for play in plays]

    return act
