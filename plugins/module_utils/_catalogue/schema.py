# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of the model catalogue and of a site, as data. Private to this collection.

Everything else reads these tables: validation, merging of defaults, the flags of the engine and docs/catalogue.md.
"""

from __future__ import annotations

import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.engine_keys import ENGINE_KEYS
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.key import PATH_PATTERN, REPO_PATTERN, Key

MODELS_VARIABLE = "vllm_models"
DEFAULTS_VARIABLE = "vllm_defaults"
OVERRIDES_VARIABLE = "vllm_model_overrides"
SITE_PREFIX = "vllm_jobs_"

# One name is used as file name, Slurm job name and served model name: no separators, nothing a shell or a path reads.
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}"
SLURM_WORD = r"[A-Za-z0-9_][A-Za-z0-9_.,-]*"
TIME_PATTERN = r"[0-9]+|[0-9]+-[0-9]{1,2}(?::[0-9]{2}){0,2}|[0-9]+:[0-9]{2}:[0-9]{2}|UNLIMITED|INFINITE"

DTYPES = ("auto", "bfloat16", "float", "float16", "float32", "half")
KV_DTYPES = ("auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2")
BACKENDS = ("mp", "ray", "rpc")
BALANCING = ("internal", "hybrid", "external")
PROFILERS = ("torch", "nsys", "viztracer")
RUNTIMES = ("venv", "podman", "docker", "apptainer", "pyxis")
# Interfaces by name or pattern (ib*, eth?), or networks (10.1.0.0/16), the first that is there.
INTERFACE_PATTERN = r"[A-Za-z0-9*?][A-Za-z0-9_.@*?/-]{0,63}(?:,[A-Za-z0-9*?][A-Za-z0-9_.@*?/-]{0,63})*"
_INTERFACES = "names of interfaces, patterns such as ib* or networks such as 10.1.0.0/16, with commas between"


def _table(*keys: Key) -> dict[str, Key]:
    return {key.name: key for key in keys}


MODEL_KEYS: t.Final = _table(
    Key(
        "name",
        "str",
        "Short name: names the job, its scripts and the served model.",
        "specification",
        required=True,
        pattern=NAME_PATTERN,
        allowed="1 to 48 letters, digits, '.', '_' and '-', the first a letter or a digit",
        defaultable=False,
    ),
    Key(
        "model_id",
        "str",
        "Repository on the model hub.",
        "specification; hub naming rules",
        required=True,
        pattern=REPO_PATTERN,
        allowed="'organisation/name' as on the model hub (letters, digits, '.', '_', '-')",
        defaultable=False,
    ),
    Key(
        "revision",
        "str",
        "Commit, tag or branch of the repository. Only a commit always names the same files.",
        "vLLM --revision",
        default="main",
        pattern=r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}",
        allowed="a 40-digit commit (best), or the name of a tag or branch",
        flag="--revision",
        defaultable=False,
    ),
    Key("description", "str", "One sentence for people.", "specification", default="", defaultable=False),
    Key("use_case", "str", "What the model is good for.", "specification", default="", defaultable=False),
    Key(
        "context_length",
        "int",
        "Context the model was made for; an upper bound for max_model_len.",
        "specification",
        minimum=1,
        maximum=100_000_000,
        unit="tokens",
        defaultable=False,
    ),
    Key(
        "max_model_len",
        "int",
        "Longest request plus answer. Unset: the model's own limit.",
        "specification; vLLM --max-model-len",
        minimum=1,
        maximum=100_000_000,
        unit="tokens",
        flag="--max-model-len",
    ),
    Key(
        "gpu_memory_utilization",
        "float",
        "Share of each GPU's memory that the engine takes. Left out on the CPU.",
        "specification; vLLM --gpu-memory-utilization",
        default=0.9,
        minimum=0.05,
        maximum=1.0,
        unit="fraction",
    ),
    Key(
        "port",
        "int",
        "Port of the API on the node that runs the job; one model a port.",
        "specification; vLLM --port",
        required=True,
        minimum=1024,
        maximum=65535,
        defaultable=False,
    ),
    Key(
        "served_model_name",
        "list",
        "Names clients may ask for, the first one in answers. The short name is always added. "
        "Unset: the repository and the short name.",
        "vLLM --served-model-name",
        default=(),
        pattern=r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}",
        allowed="a name or a list of names made of letters, digits, '.', '_', ':', '/' and '-'",
        defaultable=False,
    ),
    Key(
        "gpus",
        "int",
        "GPUs on each node. Unset: what the parallel sizes need.",
        "Slurm --gres",
        minimum=1,
        maximum=64,
        unit="GPUs a node",
    ),
    Key("nodes", "int", "Nodes of one server.", "Slurm --nodes", default=1, minimum=1, maximum=1024, unit="nodes"),
    Key(
        "tensor_parallel_size",
        "int",
        "GPUs that share each layer. Unset: all GPUs left by the other two sizes.",
        "vLLM --tensor-parallel-size",
        minimum=1,
        maximum=1024,
        unit="GPUs",
    ),
    Key(
        "pipeline_parallel_size",
        "int",
        "Stages the layers are cut into.",
        "vLLM --pipeline-parallel-size",
        default=1,
        minimum=1,
        maximum=1024,
        unit="stages",
    ),
    Key(
        "data_parallel_size",
        "int",
        "Copies of the engine behind one port.",
        "vLLM --data-parallel-size",
        default=1,
        minimum=1,
        maximum=1024,
        unit="copies",
    ),
    Key(
        "expert_parallel",
        "bool",
        "Spread the experts of a mixture-of-experts model over the GPUs.",
        "vLLM --enable-expert-parallel",
        default=False,
        flag="--enable-expert-parallel",
    ),
    Key(
        "backend",
        "str",
        "How the processes of several nodes find each other.",
        "vLLM multi-node modes",
        default="mp",
        choices=BACKENDS,
    ),
    Key(
        "data_parallel_balancing",
        "str",
        "Who spreads requests over data parallel copies on several nodes: the engine behind one API, or whoever is in "
        "front of an API on each node (hybrid: the engine spreads them over the node's own copies).",
        "vLLM data parallel deployment",
        default="internal",
        choices=BALANCING,
    ),
    Key(
        "interface",
        "str",
        "Network between the nodes of one server. Unset: vllm_jobs_interface, else the route to the other nodes.",
        "this collection",
        pattern=INTERFACE_PATTERN,
        allowed=_INTERFACES,
    ),
    Key(
        "quantization",
        "str",
        "Method of the quantised weights. Unset: what the model's own configuration says.",
        "vLLM --quantization",
        pattern=r"[a-z0-9][a-z0-9_-]{0,63}",
        allowed="the name of a method of the engine, such as awq, fp8, gptq_marlin or compressed-tensors",
        flag="--quantization",
    ),
    Key("dtype", "str", "Number type of the weights.", "vLLM --dtype", default="auto", choices=DTYPES, flag="--dtype"),
    Key(
        "kv_cache_dtype",
        "str",
        "Number type of the cache of keys and values; fp8 holds twice the tokens. Unset: that of the weights.",
        "vLLM --kv-cache-dtype",
        choices=KV_DTYPES,
        flag="--kv-cache-dtype",
    ),
    Key(
        "max_num_seqs",
        "int",
        "Requests answered at the same time. Unset: the engine's own choice.",
        "vLLM --max-num-seqs",
        minimum=1,
        maximum=65536,
        unit="requests",
        flag="--max-num-seqs",
    ),
    Key(
        "max_num_batched_tokens",
        "int",
        "Tokens computed in one step, over all requests. Unset: the engine's own choice.",
        "vLLM --max-num-batched-tokens",
        minimum=1,
        maximum=1_048_576,
        unit="tokens",
        flag="--max-num-batched-tokens",
    ),
    Key(
        "vision",
        "bool",
        "Whether the model is to read images. False: only its language part is loaded. Unset: what the model can.",
        "specification; vLLM --language-model-only",
    ),
    *ENGINE_KEYS,
    Key(
        "trust_remote_code",
        "bool",
        "Run Python code that comes with the model. Needs a revision of 40 hexadecimal digits.",
        "vLLM --trust-remote-code",
        default=False,
        flag="--trust-remote-code",
        defaultable=False,
    ),
    Key("replicas", "int", "Servers of this model, each a job.", "this collection", default=1, minimum=1, maximum=1024),
    Key(
        "profiler",
        "str",
        "What watches the engine while it serves; its files are in the folder profiles of vllm_jobs_dir. Unset: none.",
        "specification; vLLM --profiler-config",
        choices=PROFILERS,
    ),
    Key(
        "runtime",
        "str",
        "What the engine runs in: its virtual environment, or a container of image.",
        "specification",
        default="venv",
        choices=RUNTIMES,
    ),
    Key(
        "image",
        "str",
        "Image of a container runtime: its name in a registry, or the path of its file on the nodes.",
        "specification",
        pattern=r"(?:/|[A-Za-z0-9])[A-Za-z0-9._/@:+-]{0,254}",
        allowed="a name as in registry.example.org/group/name:tag, or an absolute path",
    ),
    Key(
        "time",
        "str",
        "Time limit of the job. Unset: vllm_jobs_time.",
        "Slurm --time",
        pattern=TIME_PATTERN,
        allowed="quoted text: 'minutes', 'hours:mm:ss', 'days-hours', 'days-hh:mm:ss' or 'UNLIMITED'",
    ),
    Key(
        "partition",
        "str",
        "Slurm partition. Unset: vllm_jobs_partition.",
        "Slurm --partition",
        pattern=SLURM_WORD,
        allowed="names made of letters, digits, '_', '.' and '-', with commas between",
    ),
    Key(
        "account",
        "str",
        "Slurm account. Unset: vllm_jobs_account.",
        "Slurm --account",
        pattern=r"[A-Za-z0-9_][A-Za-z0-9_.-]*",
        allowed="a name made of letters, digits, '_', '.' and '-'",
    ),
    Key(
        "qos",
        "str",
        "Slurm quality of service. Unset: vllm_jobs_qos.",
        "Slurm --qos",
        pattern=r"[A-Za-z0-9_][A-Za-z0-9_.-]*",
        allowed="a name made of letters, digits, '_', '.' and '-'",
    ),
    Key(
        "cpus_per_task",
        "int",
        "CPU cores of the job. Unset: vllm_jobs_cpus_per_task.",
        "Slurm --cpus-per-task",
        minimum=1,
        maximum=4096,
        unit="cores",
    ),
    Key(
        "mem",
        "str",
        "Memory of the job on each node. Unset: vllm_jobs_mem.",
        "Slurm --mem",
        pattern=r"[0-9]{1,12}[KMGT]?",
        allowed="quoted text: a number with K, M, G or T behind it (M when left out); '0' is all of the node",
        unit="as written",
    ),
    Key("env", "dict", "Environment of the engine. No secrets.", "this collection", default=()),
    Key("extra_args", "list", "More options of the engine, one word each. No secrets.", "vLLM serve", default=()),
)

_SAME_AS_MODEL = {name: MODEL_KEYS[name] for name in ("partition", "account", "qos", "time", "cpus_per_task", "mem")}


def _site(name: str, default: t.Any, description: str) -> Key:
    key = _SAME_AS_MODEL[name]
    return Key(
        name,
        key.type,
        description,
        key.source,
        default,
        minimum=key.minimum,
        maximum=key.maximum,
        pattern=key.pattern,
        allowed=key.allowed,
        unit=key.unit,
    )


def _path(name: str, default: str, description: str) -> Key:
    return Key(
        name,
        "str",
        description,
        "this collection",
        default,
        pattern=PATH_PATTERN,
        allowed="an absolute path made of letters, digits, '.', '_', '@', '+' and '-'",
    )


# The variables of the role vllm_jobs (less their prefix) that decide what a job script says.
SITE_KEYS: t.Final = _table(
    Key("device", "str", "What the engine computes on.", "this collection", "cuda", choices=("cuda", "cpu")),
    _path("venv", "/opt/vllm/venv", "Virtual environment of the engine on the compute nodes."),
    _path("models_dir", "/opt/models", "Model cache on the compute nodes."),
    _path("dir", "/home/vllm/vllm-jobs", "Folder of the job scripts and their outputs."),
    _path(
        "cache_dir",
        "",
        "Folder on each node's own disk for what the engine compiles, by engine, hardware and model. Empty: the "
        "engine's own, in the home of the user.",
    ),
    _path(
        "cache_seed_dir",
        "",
        "Folder that all nodes share, where what one node compiled is kept for the others. Empty: each node compiles.",
    ),
    _path("api_key_file", "/etc/llmops/vllm-api-key", "File with the API key, read inside the job. Empty: no key."),
    Key(
        "host",
        "str",
        "Address the API listens on.",
        "vLLM --host",
        "0.0.0.0",
        pattern=r"[A-Za-z0-9:.-]+",
        allowed="an address or a host name",
    ),
    _site("partition", "gpu", "Slurm partition of models that name none."),
    _site("account", "", "Slurm account of models that name none. Empty: the user's own."),
    _site("qos", "", "Quality of service of models that name none. Empty: the account's own."),
    _site("time", "7-00:00:00", "Time limit of models that name none. Empty: the partition's own."),
    _site("cpus_per_task", 8, "CPU cores of models that name none."),
    _site("mem", "", "Memory of models that name none. Empty: the partition's own."),
    Key(
        "gres",
        "str",
        "Name of the GPUs in Slurm, with a type if wanted (gpu:l4). Empty: ask for none.",
        "Slurm --gres",
        "gpu",
        pattern=r"[A-Za-z0-9_]+(?::[A-Za-z0-9_.-]+)?",
        allowed="'gpu' or 'gpu:type'",
    ),
    Key(
        "interface",
        "str",
        "Network between the nodes of one server, for models that name none. Empty: the route to the other nodes.",
        "this collection",
        "",
        pattern=INTERFACE_PATTERN,
        allowed=_INTERFACES,
    ),
    Key(
        "port_range",
        "str",
        "Ports of which jobs lease what they need. Keep it free of the catalogue's ports and below those that the "
        "kernel gives to clients (net.ipv4.ip_local_port_range).",
        "this collection",
        "20000-29999",
        pattern=r"[1-9][0-9]{3,4}-[1-9][0-9]{3,4}",
        allowed="quoted text: first and last port, as '20000-29999'",
    ),
    Key(
        "port_moves",
        "bool",
        "Take a port of vllm_jobs_port_range where the model's own is busy; false: fail there. Always so for replicas "
        "and for several nodes, never with runtime: pyxis.",
        "this collection",
        True,
    ),
    Key(
        "preflight",
        "str",
        "What nodes of one server try before weights load: each link between them, or also a sum over all of them by "
        "NCCL (gloo on the CPU), which takes some seconds.",
        "this collection",
        "links",
        choices=("links", "collective"),
    ),
    Key("requeue", "bool", "Start the job again when its node is lost.", "Slurm --requeue", True),
    Key(
        "shutdown_timeout",
        "int",
        "Time to finish running requests when stopped. Keep it below Slurm's KillWait.",
        "vLLM --shutdown-timeout",
        20,
        minimum=0,
        maximum=3600,
        unit="seconds",
    ),
    Key(
        "container_shm_size",
        "str",
        "Shared memory of a container of podman or docker, through which the engine's processes talk.",
        "this collection",
        "16g",
        pattern=r"[1-9][0-9]*[kmg]",
        allowed="quoted text: a number with k, m or g behind it",
        unit="as written",
    ),
    Key(
        "container_mounts",
        "list",
        "Folders of the nodes that containers may read, at the same paths, beside the models.",
        "specification",
        (),
        pattern=PATH_PATTERN,
        allowed="a list of absolute paths made of letters, digits, '.', '_', '@', '+' and '-'",
    ),
    Key("engine_env", "dict", "Environment of every engine. No secrets.", "this collection", ()),
    Key("engine_args", "list", "Options of every engine, one word each. No secrets.", "vLLM serve", ()),
)
