"""The lab's stand-in for the public model hub: our Hub-protocol server over the tiny models, in a container."""

from __future__ import annotations

import json
import time
import urllib.request

from . import image, network, podman
from .errors import LabError
from .settings import CHECKOUT, HUB_OCTET, HUB_PORT, Lab, key_of

# The token of the lab's gated repository: a test value, known to all, that opens nothing else.
GATED = {"llmops-lab/gated-tiny": {"token": "hf_lab_gated_token"}}
_SERVER = CHECKOUT / "plugins/module_utils/_hub/server.py"
_MODELS = CHECKOUT / "lab/models/hub"


def up(lab: Lab) -> None:
    """Start the hub, or start it anew when what it serves has changed."""
    name = lab.container("hub")
    label = key_of(_SERVER.read_text(), *(str(path.relative_to(_MODELS)) for path in sorted(_MODELS.rglob("*"))))
    if podman.containers(name).get(name) != "running" or lab.facts().get("hub_key") != label:
        podman.remove(name)
        folder = lab.state / "hub"
        folder.mkdir(exist_ok=True)
        (folder / "gated.json").write_text(json.dumps(GATED))
        podman.run(
            # Privileged like the hosts: a device filter would need a limit that not every machine lets podman raise.
            *("run", "--detach", "--privileged", "--name", name, "--hostname", "hub", "--network-alias", "hub"),
            *network.place(lab, HUB_OCTET),
            *("--volume", f"{_SERVER}:/srv/server.py:ro", "--volume", f"{_MODELS}:/srv/hub:ro"),
            *("--volume", f"{folder}:/srv/state"),
            image.tag(),
            *("python3", "/srv/server.py", "--root", "/srv/hub", "--bind", "0.0.0.0", "--port", str(HUB_PORT)),
            *("--gated", "/srv/state/gated.json", "--access-log", "/srv/state/access.jsonl"),
        )
        lab.write_facts(hub_key=label)
    _wait(lab)


def _wait(lab: Lab) -> None:
    url = f"{lab.facts()['hub_url']}/api/models/llmops-lab/phi3-tiny"
    error: Exception | None = None
    for _ in range(50):
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError as reason:
            error = reason
            time.sleep(0.2)
    log = podman.run("logs", "--tail", "20", lab.container("hub"), check=False)
    raise LabError(f"the lab's model hub did not answer at {url}: {error}\n{log.stdout}{log.stderr}")
