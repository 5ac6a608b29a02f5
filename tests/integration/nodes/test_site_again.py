"""What somebody changed by hand of engine, models and jobs: the next site.yml mends it, and nothing else."""

from __future__ import annotations

import re

from lab.settings import CHECKOUT
from tests.cluster import Cluster

BUILD = "$(readlink -f /opt/vllm/venv)"
PACKAGE = f"{BUILD}/lib/python*/site-packages/vllm-*.dist-info"
JOBS = "/home/vllm/vllm-jobs"
# Where (spare: a compute host on which no model is served), how, and a look that says it is as it was.
BY_HAND = [
    ("spare", "usermod --shell /bin/sh vllm", "getent passwd vllm"),
    ("spare", "chmod 0755 /etc/llmops/vllm-api-key", "stat -c '%a %U' /etc/llmops/vllm-api-key"),
    ("spare", f"cd {BUILD}/lib/python*/site-packages && mv vllm-*.dist-info vllm-0.1.dist-info", f"ls -d {PACKAGE}"),
    ("spare", "ln -sfn /opt/vllm/nosuch /opt/vllm/venv", "readlink /opt/vllm/venv"),
    ("spare", "chmod 0700 /opt/models", "stat -c %a /opt/models"),
    ("spare", "rm -r /opt/models/models--*phi3-tiny/snapshots/*", "ls -d /opt/models/models--*phi3-tiny/snapshots/*"),
    ("spare", f"echo '# mine' >> {JOBS}/llmops_node/run.py", f"sum {JOBS}/llmops_node/*.py"),
    ("spare", f"chmod 0755 {JOBS}/outputs", f"stat -c %a {JOBS}/outputs"),
    ("serves", "echo other > /etc/llmops/vllm-api-key", "sum /etc/llmops/vllm-api-key"),
    ("ctl", "echo '# mine' >> /usr/local/bin/vllm-manager", "cat /usr/local/bin/vllm-manager"),
    (
        "ctl",
        "rm /usr/share/bash-completion/completions/vllm-manager",
        "ls /usr/share/bash-completion/completions/vllm-manager",
    ),
]
# The tasks that mend it, by host. The folder of jobs is one for all hosts: the first that comes mends it.
MENDS = {
    "spare": {
        "user | Make the service user",
        "key | Write the API key",
        "install | Remove a build that has other packages than its own",
        "unpack | Unpack vllm",
        "install | Point to this build",
        "cache | Make the cache",
    },
    "serves": {"key | Write the API key"},
    "ctl": {"install | Install the command", "links | Install the completion for bash"},
}
# The first host gets a model from the hub, the other one from the first.
MODEL = {"gpu1": "download | Download, check and publish", "gpu2": "fan_out | Fetch, check and publish"}
SHARED = {"layout | Make the folders", "layout | Install what the nodes of a job run"}


# How a tarball comes from host to host; nothing stays of it.
ON_THE_WAY = {"unpack | Serve the tarball to the other hosts", "unpack | Stop serving"}


def changes(output: str) -> dict[str, set[str]]:
    """Host -> tasks that changed something there."""
    found: dict[str, set[str]] = {}
    for block in re.split(r"^(?:TASK|RUNNING HANDLER) ", output, flags=re.MULTILINE)[1:]:
        name = block.split("]", 1)[0].removeprefix("[").split(" : ")[-1]
        for host in re.findall(r"^changed: \[(\w+)", block, flags=re.MULTILINE):
            found.setdefault(host, set()).add(name)
    return found


def test_what_differs_is_mended_and_nothing_else(site: Cluster) -> None:
    (serves,) = {line.split()[-1] for line in site.jobs("%T %N") if line.startswith("RUNNING")}
    (spare,) = {"gpu1", "gpu2"} - {serves}
    by_hand = [({"spare": spare, "serves": serves}.get(host, host), how, look) for host, how, look in BY_HAND]
    before = [site.run(host, look) for host, _, look in by_hand]
    jobs = site.jobs()
    for host, how, _ in by_hand:
        site.run(host, how)
    done = site.play(str(CHECKOUT / "site.yml"))
    assert done.rc == 0, done.output[-6000:]
    assert [site.run(host, look) for host, _, look in by_hand] == before
    found = changes(done.output)
    assert set().union(*found.values()) >= SHARED
    mended = {host: tasks - SHARED - ON_THE_WAY for host, tasks in found.items()}
    assert {host: tasks for host, tasks in mended.items() if tasks} == {
        spare: {*MENDS["spare"], MODEL[spare]},
        serves: MENDS["serves"],
        "ctl": MENDS["ctl"],
    }
    assert site.jobs() == jobs


def test_then_there_is_nothing_to_do(site: Cluster) -> None:
    """Neither for the comparisons nor for the tasks that they spare."""
    assert site.play(str(CHECKOUT / "site.yml")).changed == 0
    assert site.play(str(CHECKOUT / "site.yml"), "-e", "llmops_thorough=true").changed == 0
