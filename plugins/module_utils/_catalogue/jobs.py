# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job script says: Slurm options, environment and the engine's command line. Private to this collection."""

from __future__ import annotations

import json
import re
import typing as t
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.engine import (
    adapter_folders,
    adapter_options,
    compile_options,
    media_options,
    model_folder,
    task_of,
)
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.errors import (
    CatalogueError,
    NotInThisReleaseError,
)
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.launch import (
    engine_program,
    engine_python,
    launch_faults,
    launch_words,
    step_words,
)
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.merge import read_table
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.schema import (
    MODEL_KEYS,
    SITE_KEYS,
    SITE_PREFIX,
)
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.topology import (
    Topology,
    faults,
    topology_of,
)
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.values import empty_value
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.words import sbatch_value

# Keys of an entry that stand in for the site's value of the same name.
_LIMITS = ("partition", "account", "qos", "time", "cpus_per_task", "mem")


def _leased_ports(site: Mapping[str, t.Any]) -> tuple[int, int]:
    first, last = site["port_range"].split("-")
    return int(first), int(last)


def complete_site(site: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The site with every key of its table; an empty text stays empty, for it means 'none' here."""
    prefixed = {f"{SITE_PREFIX}{name}": value for name, value in site.items()}
    table = {f"{SITE_PREFIX}{name}": replace(key, name=f"{SITE_PREFIX}{name}") for name, key in SITE_KEYS.items()}
    values, problems = read_table(table, prefixed, "role vllm_jobs")
    if problems:
        raise CatalogueError("Reading the variables of the role vllm_jobs failed:\n" + "\n".join(problems))
    complete: dict[str, t.Any] = {}
    for name, key in SITE_KEYS.items():
        optional = key.type == "str" and site.get(name) == ""
        complete[name] = "" if optional else values.get(f"{SITE_PREFIX}{name}", empty_value(key))
    first, last = _leased_ports(complete)
    if not first <= last <= 65535:
        raise CatalogueError(
            f"Reading the variables of the role vllm_jobs failed:\nrole vllm_jobs: {SITE_PREFIX}port_range: "
            f"{complete['port_range']!r} found; allowed is the first port, then the last, up to 65535."
        )
    if complete["cache_seed_dir"] and not complete["cache_dir"]:
        raise CatalogueError(
            f"Reading the variables of the role vllm_jobs failed:\nrole vllm_jobs: {SITE_PREFIX}cache_seed_dir: "
            f"{complete['cache_seed_dir']!r} found; allowed beside {SITE_PREFIX}cache_dir, the folder of each node."
        )
    return complete


def _checked(entry: Mapping[str, t.Any]) -> None:
    missing = [name for name in MODEL_KEYS if name not in entry]
    if missing:
        raise CatalogueError(
            f"Rendering the job of {entry.get('name', 'a model')} failed: the entry lacks {', '.join(missing)}. "
            "Pass it through llmops.cluster.catalogue_plan first."
        )
    found = [*faults(entry), *launch_faults(entry)]
    if found:
        raise NotInThisReleaseError(f"Rendering the job of {entry['name']} failed: {'; '.join(found)}.")


def _sbatch(kind: str, entry: Mapping[str, t.Any], site: Mapping[str, t.Any]) -> list[list[str]]:
    limits = {name: entry[name] if entry[name] is not None else site[name] for name in _LIMITS}
    outputs = f"{site['dir']}/outputs/{kind}_{entry['name']}_%j"
    wanted: list[tuple[str, t.Any]] = [
        ("job-name", f"vllm-{kind}-{entry['name']}"),
        ("partition", limits["partition"]),
        ("account", limits["account"]),
        ("qos", limits["qos"]),
        ("nodes", entry["nodes"]),
        ("ntasks", entry["nodes"]),
        ("cpus-per-task", limits["cpus_per_task"]),
        ("mem", limits["mem"]),
        ("gres", f"{site['gres']}:{entry['gpus']}" if site["gres"] else ""),
        ("time", limits["time"]),
        ("output", f"{outputs}.out"),
        ("error", f"{outputs}.err"),
        ("open-mode", "append"),
    ]
    if entry["nodes"] > 1:
        # A server is all of its nodes, each with all of its processes under one task.
        wanted.insert(6, ("ntasks-per-node", 1))
    options = [[option, sbatch_value(option, value)] for option, value in wanted if value not in ("", None)]
    options.append(["requeue" if site["requeue"] else "no-requeue", ""])
    return options


def _environment(entry: Mapping[str, t.Any], site: Mapping[str, t.Any]) -> dict[str, str]:
    fixed = {
        "HF_HUB_CACHE": site["models_dir"],
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    }
    return {**fixed, **site["engine_env"], **entry["env"]}


def _served_names(entry: Mapping[str, t.Any]) -> list[str]:
    names = entry["served_model_name"] or [entry["model_id"]]
    return list(dict.fromkeys([*names, entry["name"]]))


def _engine_options(entry: Mapping[str, t.Any], site: Mapping[str, t.Any]) -> list[str]:
    options = ["--served-model-name", *_served_names(entry)]
    for name, key in MODEL_KEYS.items():
        value = entry[name]
        if not key.flag or value in (None, False):
            continue
        options += [key.flag] if value is True else [key.flag, str(value)]
    options += media_options(entry)
    options += adapter_options(entry, site["models_dir"])
    if site["device"] == "cuda":
        options += ["--gpu-memory-utilization", str(entry["gpu_memory_utilization"])]
    options += ["--tensor-parallel-size", str(entry["tensor_parallel_size"])]
    for name, flag in (
        ("pipeline_parallel_size", "--pipeline-parallel-size"),
        ("data_parallel_size", "--data-parallel-size"),
    ):
        if entry[name] > 1:
            options += [flag, str(entry[name])]
    return options


def _last_words(entry: Mapping[str, t.Any], site: Mapping[str, t.Any]) -> list[str]:
    """What the site says to all its engines, then the entry: in the engine the last one wins."""
    return [*site["engine_args"], *compile_options(entry, site["engine_args"]), *entry["extra_args"]]


def _job(kind: str, entry: Mapping[str, t.Any], site: Mapping[str, t.Any]) -> dict[str, t.Any]:
    names = _served_names(entry)
    return {
        "name": entry["name"],
        "kind": kind,
        "job_name": f"vllm-{kind}-{entry['name']}",
        "script": f"{kind}_{entry['name']}.sh",
        "model_id": entry["model_id"],
        "revision": entry["revision"],
        "model_dir": model_folder(site["models_dir"], entry["model_id"]),
        "adapters": adapter_folders(entry, site["models_dir"]),
        "task": task_of(entry),
        "sbatch": _sbatch(kind, entry, site),
        "environment": _environment(entry, site),
        "served_names": names,
        "port": entry["port"],
        "outputs_dir": f"{site['dir']}/outputs",
        "cache": _cache(entry, site),
        # What compiled code belongs to: the environment, or the image. Without ':', which parts the words of a mount.
        "venv": site["venv"] if entry["runtime"] == "venv" else "/" + re.sub("[/:@]", "_", entry["image"].strip("/")),
        "launch": launch_words(kind, entry, site),
        "step": step_words(entry, site),
    }


def _cache(entry: Mapping[str, t.Any], site: Mapping[str, t.Any]) -> dict[str, t.Any] | None:
    """Where compiled code lies, and who says so in the job's log. None: where the engine puts it by itself."""
    if not site["cache_dir"]:
        return None
    nodes = entry["nodes"]
    every = f"srun --nodes={nodes} --ntasks={nodes} --ntasks-per-node=1 --label " if nodes > 1 else ""
    listens = site["host"]
    return {
        "dir": site["cache_dir"],
        "name": entry["model_id"].replace("/", "--"),
        "program": _python(entry, site, "llmops_cache"),
        "seed_dir": site["cache_seed_dir"],
        "seed": f' --seed {site["cache_seed_dir"]}/"$cache_key".tar' if site["cache_seed_dir"] else "",
        "srun": every,
        "address": "127.0.0.1" if listens in ("0.0.0.0", "::", "") else listens,  # noqa: S104 - what it listens on
    }


def replica_names(job_name: str, replicas: int) -> list[str]:
    """The job of each replica. No name of a model holds a '+', so none can be mistaken for another model's."""
    return [job_name, *(f"{job_name}+{number}" for number in range(2, replicas + 1))]


def _python(entry: Mapping[str, t.Any], site: Mapping[str, t.Any], program: str) -> list[str]:
    """A program of the role, a folder beside the scripts. It leaves nothing in that folder."""
    return [*engine_python(entry, site), f"{site['dir']}/{program}"]


def _program(entry: Mapping[str, t.Any], site: Mapping[str, t.Any], topology: Topology) -> list[str]:
    """What runs on each node of the job, and what it is told of the site."""
    words = _python(entry, site, "llmops_node")
    words += ["--port", str(entry["port"]), "--port-range", site["port_range"]]
    interface = entry["interface"] or site["interface"]
    words += ["--interface", interface] if interface else []
    # The collective is the engine's own, which the node does not have where an image brings it.
    if site["preflight"] == "collective" and entry["runtime"] == "venv":
        words += ["--collective", "nccl" if site["device"] == "cuda" else "gloo"]
    words += ["--drain-seconds", str(site["shutdown_timeout"])]
    # A profiler writes when its engine has ended. Who stops the job sets the bound: Slurm's KillWait, or none.
    words += ["--grace-seconds", "600"] if entry["profiler"] else []
    return [*words, *topology.settings]


def serve_job(entry: Mapping[str, t.Any], site: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The job that serves a planned entry. `argv` is the engine's whole command line, without any secret."""
    _checked(entry)
    site = complete_site(site)
    job = _job("serve", entry, site)
    topology = topology_of(entry, site)
    first, last = _leased_ports(site)
    # One that leases its port too just takes another.
    if topology is None and first <= entry["port"] <= last:
        raise CatalogueError(
            f"Rendering the job of {entry['name']} failed: port: {entry['port']} found, which jobs may take by "
            f"themselves; allowed is any outside of vllm_jobs_port_range, {site['port_range']}."
        )
    if topology is not None and entry["runtime"] == "pyxis":
        raise NotInThisReleaseError(
            f"Rendering the job of {entry['name']} failed: runtime: pyxis found; allowed for a server of several "
            "nodes and for replicas is venv, podman, docker or apptainer."
        )
    argv = [engine_program(entry, site), "serve", entry["model_id"]]
    # Where it listens is then said on the node, with the rest that only the node knows.
    argv += ["--host", site["host"], "--port", str(entry["port"])] if topology is None else []
    argv += _engine_options(entry, site)
    argv += ["--shutdown-timeout", str(site["shutdown_timeout"])]
    job["argv"] = [*argv, *_last_words(entry, site)]
    job["template"] = "serve.sh.j2" if topology is None else "serve_nodes.sh.j2"
    job["job_names"] = replica_names(job["job_name"], entry["replicas"])
    job["port_moves"] = topology is not None
    if topology is not None:
        job["nodes"] = entry["nodes"]
        job["topology"] = topology.plain()
        job["program"] = _program(entry, site, topology)
    job["api_key_file"] = site["api_key_file"]
    job["endpoints_dir"] = f"{site['dir']}/endpoints"
    # The part of the endpoint record that is known now; the job adds where and when it runs.
    known = {name: job[name] for name in ("job_name", "model_id", "name", "port", "revision")}
    if topology is not None:
        # A replica's job has a name of its own, which Slurm tells the script.
        del known["job_name"]
    job["endpoint"] = json.dumps({**known, "models": [*job["served_names"], *job["adapters"]]}, sort_keys=True)
    return job


def has_batch(entry: Mapping[str, t.Any]) -> bool:
    """Whether requests out of a file can be answered: by an engine on one node that the job's step starts itself."""
    return entry.get("nodes") == 1 and entry.get("backend") != "ray" and entry.get("runtime") != "pyxis"


def batch_job(entry: Mapping[str, t.Any], site: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The job that answers a file of requests. `argv` is the engine, which gets a socket to listen on."""
    _checked(entry)
    if not has_batch(entry):
        raise NotInThisReleaseError(
            f"Rendering the batch job of {entry['name']} failed: nodes: {entry['nodes']} with backend: "
            f"{entry['backend']} found; batches run on one node, allowed are nodes: 1 and backend: mp or rpc"
            f"{', and a runtime other than pyxis' if entry['runtime'] == 'pyxis' else ''}."
        )
    site = complete_site(site)
    job = _job("batch", entry, site)
    argv = [engine_program(entry, site), "serve", entry["model_id"], *_engine_options(entry, site)]
    job["argv"] = [*argv, *_last_words(entry, site)]
    job["program"] = _python(entry, site, "llmops_batch")
    return job


def batch_jobs(entries: Sequence[Mapping[str, t.Any]], site: Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """The batch jobs of those entries that can have one."""
    return [batch_job(entry, site) for entry in entries if has_batch(entry)]


def job_problems(entries: Sequence[Mapping[str, t.Any]], site: Mapping[str, t.Any]) -> list[str]:
    """Why the jobs of planned entries cannot be written, in words; none when they can."""
    try:
        complete_site(site)
    except CatalogueError as error:
        return str(error).splitlines()
    problems: list[str] = []
    for entry in entries:
        for job in (serve_job, batch_job) if has_batch(entry) else (serve_job,):
            try:
                job(entry, site)
            except CatalogueError as error:
                problems.append(str(error))
    return list(dict.fromkeys(problems))


def serving_jobs(
    entries: Sequence[Mapping[str, t.Any]], site: Mapping[str, t.Any]
) -> list[tuple[Mapping[str, t.Any], str]]:
    """Each entry with the name of each job that serves it, in order."""
    return [(entry, name) for entry in entries for name in serve_job(entry, site)["job_names"]]
