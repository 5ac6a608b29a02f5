"""`make demo`: from nothing to an answered question, phase by phase; and what `make demo-env` prints."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from openai import OpenAI, OpenAIError

from . import hosts, hub, image, podman
from .errors import LabError
from .progress import Progress, run_playbook
from .settings import CHECKOUT, Lab

# What the lab's site.yml serves (vllm_site_models of inventory/lab), and what the question is put to.
MODEL = "phi3"
KEY_FILE = "/etc/llmops/vllm-api-key"
QUESTIONS = CHECKOUT / "lab/models/questions.yml"


@dataclass(frozen=True)
class Endpoint:
    """A model that is being served, as its job recorded it."""

    job_id: str
    node: str
    url: str
    model: str


def run(lab: Lab) -> None:
    """All phases. Each does nothing when its work is done, so an interrupted demo goes on where it was."""
    progress = Progress(total=5)
    recap: list[str] = []

    def image_phase() -> None:
        podman.ensure_ready()
        image.ensure(lab, progress.say)

    def site() -> None:
        recap.append(_site(lab, progress))

    progress.phase("Make the host image", image_phase)
    progress.phase(f"Start the hosts {', '.join(host.name for host in lab.hosts)}", lambda: hosts.up(lab))
    progress.phase("Start the stand-in for the model hub", lambda: hub.up(lab))
    progress.phase("Run ansible-playbook site.yml over SSH", site)
    progress.say(_changes(recap[0]))
    progress.phase("Ask the served model", lambda: _ask(lab, progress))
    _farewell(lab)


def _site(lab: Lab, progress: Progress) -> str:
    argv = [str(Path(sys.executable).parent / "ansible-playbook"), "site.yml", "--inventory", str(lab.inventory)]
    environment = {
        **os.environ,
        "LLMOPS_LAB_STATE": str(lab.state),
        "ANSIBLE_NOCOLOR": "1",
        # Else Ansible names a task only when its first result is there, minutes late for the long ones.
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "1",
    }
    return run_playbook(progress, argv, CHECKOUT, environment, lab.state / "logs/site.log")


def _changes(recap: str) -> str:
    """The recap in one line."""
    changed = sum(int(word.split("=")[1]) for word in recap.split() if word.startswith("changed="))
    return f"changed={changed} in all"


def endpoints(lab: Lab) -> list[Endpoint]:
    """Models whose jobs run now, by the records that the jobs wrote."""
    found = []
    addresses = {host.name: lab.address(host.octet) for host in lab.hosts}
    for record in (lab.state / "shared-home/vllm-jobs/endpoints").glob("*.json"):
        try:
            told = json.loads(record.read_text())
        except (OSError, ValueError):
            continue
        command = ["/usr/local/bin/squeue", "--noheader", f"--jobs={told['job_id']}", "--format=%T"]
        if podman.exec_in(lab.container(lab.hosts[0].name), command, check=False).strip() != "RUNNING":
            continue
        url = f"http://{addresses.get(told['host'], told['host'])}:{told['port']}/v1"
        found.append(Endpoint(str(told["job_id"]), told["host"], url, told["models"][-1]))
    return sorted(found, key=lambda endpoint: int(endpoint.job_id))


def _served(lab: Lab) -> Endpoint:
    """The demo's model; of another inventory the one that is served longest."""
    served = endpoints(lab)
    if not served:
        raise LabError(f"lab {lab.name!r} serves no model now. `make demo` starts one.")
    return next((endpoint for endpoint in served if endpoint.model == MODEL), served[0])


def _api_key(lab: Lab) -> str:
    return podman.exec_in(lab.container(lab.hosts[0].name), ["cat", KEY_FILE]).strip()


def _ask(lab: Lab, progress: Progress) -> None:
    served = _served(lab)
    question = yaml.safe_load(QUESTIONS.read_text())["questions"][2]["question"]
    client = OpenAI(base_url=served.url, api_key=_api_key(lab), timeout=60, max_retries=0)
    try:
        answer = client.chat.completions.create(
            model=served.model, messages=[{"role": "user", "content": question}], temperature=0, max_tokens=100
        )
    except OpenAIError as error:
        raise LabError(f"asking {served.model} at {served.url} failed: {error}. Try `make demo` again.") from error
    width = max(len("You"), len(served.model)) + 1
    print(f"\n  {'You:':{width}}  {question}\n  {served.model + ':':{width}}  {answer.choices[0].message.content}\n")


def environment_lines(lab: Lab) -> str:
    """Lines for `eval`: the two variables that OpenAI clients read."""
    if not lab.facts():
        raise LabError(f"there is no lab {lab.name!r}; `make demo` makes it.")
    values = {"OPENAI_BASE_URL": _served(lab).url, "OPENAI_API_KEY": _api_key(lab)}
    lines = [f"{name}={shlex.quote(value)}" for name, value in values.items()]
    return "\n".join([*lines, f"export {' '.join(values)}"])


def _farewell(lab: Lab) -> None:
    served = _served(lab)
    controller = lab.hosts[0].name
    print(f"  Endpoint  {served.url}  (OpenAI-compatible, key: {_env_command(lab)})")
    print(f"  Job       {served.job_id} on {served.node}, as the user vllm\n")
    print("  Next:")
    print(
        f'    eval "$({_env_command(lab)})"; curl -s $OPENAI_BASE_URL/models -H "Authorization: Bearer $OPENAI_API_KEY"'
    )
    print(f"    {_sudo()}ssh -F {lab.ssh_config} {controller} squeue --Format=JobID,Name:24,State,NodeList")
    print(f"    {_sudo()}{_which_lab(lab)}.venv/bin/ansible-playbook deploy-vllm-models.yml -e model=mistral")


def _env_command(lab: Lab) -> str:
    return "make -s demo-env" if lab.name == "demo" else f"{_sudo()}.venv/bin/python -m lab env --name {lab.name}"


def _which_lab(lab: Lab) -> str:
    """What the inventory must be told when it is not about the demo's lab in its usual place."""
    usual = Path.home() / ".local/state/llmops-cluster/demo"
    return "" if lab.state == usual else f"LLMOPS_LAB_STATE={shlex.quote(str(lab.state))} "


def _sudo() -> str:
    return "sudo --preserve-env=HOME " if os.environ.get("SUDO_USER") else ""
