# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engine options and environment names that a catalogue may not set, and why. Private to this collection.

Read in the parser of vLLM 0.32.0; each reason tells what to write instead.
"""

from __future__ import annotations

import re
import typing as t

_KEY_FILE = "the job reads the key from the file in vllm_jobs_api_key_file (0400, owner vllm); put it there only"
_TOKEN = "serving is offline; the token belongs to the role model_store, which downloads"
_SLURM_GPUS = "Slurm sets it for the GPUs it gave to the job"
_DEV_MODE = "it opens routes that need no key"

SECRET_FLAGS: t.Final = {"--api-key": _KEY_FILE, "--hf-token": _TOKEN}

# Options that a key of the catalogue (or a variable of the role) already writes.
OWN_FLAGS: t.Final = {
    "--model": "model_id",
    "--revision": "revision",
    "--served-model-name": "served_model_name",
    "--host": "vllm_jobs_host",
    "--port": "port",
    "--uds": "vllm_jobs_host",
    "--max-model-len": "max_model_len",
    "--gpu-memory-utilization": "gpu_memory_utilization",
    "--tensor-parallel-size": "tensor_parallel_size",
    "-tp": "tensor_parallel_size",
    "--pipeline-parallel-size": "pipeline_parallel_size",
    "-pp": "pipeline_parallel_size",
    "--data-parallel-size": "data_parallel_size",
    "-dp": "data_parallel_size",
    "--enable-expert-parallel": "expert_parallel",
    "-ep": "expert_parallel",
    "--distributed-executor-backend": "backend",
    "--data-parallel-backend": "backend",
    "--nnodes": "nodes",
    "-n": "nodes",
    "--node-rank": "nodes",
    "-r": "nodes",
    "--master-addr": "nodes",
    "--master-port": "nodes",
    "--headless": "nodes",
    "--data-parallel-address": "nodes",
    "--data-parallel-rpc-port": "nodes",
    "--data-parallel-size-local": "nodes",
    "--quantization": "quantization",
    "-q": "quantization",
    "--dtype": "dtype",
    "--kv-cache-dtype": "kv_cache_dtype",
    "--max-num-batched-tokens": "max_num_batched_tokens",
    "--max-num-seqs": "max_num_seqs",
    "--language-model-only": "vision",
    "--trust-remote-code": "trust_remote_code",
    "--shutdown-timeout": "vllm_jobs_shutdown_timeout",
}

# The same for entries alone: a site may say them for all its engines (vllm_jobs_engine_args), and an entry otherwise.
ENTRY_FLAGS: t.Final = {
    "--enforce-eager": "eager",
    "--no-enforce-eager": "eager",
    "--optimization-level": "optimization_level",
    "--cudagraph-capture-sizes": "cudagraph_capture_sizes",
    "--limit-mm-per-prompt": "limit_mm_per_prompt",
    "--runner": "runner",
    "--convert": "convert",
    "--enable-lora": "lora_adapters",
    "--lora-modules": "lora_adapters",
    "--max-lora-rank": "max_lora_rank",
    "--max-loras": "max_loras",
    "--profiler-config": "profiler",
}
# -O2 and the like: an optimisation level in one word.
_LEVEL = re.compile(r"-O[0-9.=]?.*")

REMOVED_FLAGS: t.Final = {
    "--disable-log-requests": "requests are not logged unless --enable-log-requests is given; leave it out",
    "--device": "the installed engine decides; leave it out",
    "--task": "use --runner and --convert",
    "--swap-space": "leave it out",
    "--calculate-kv-scales": "leave it out",
    "--use-v2-block-manager": "leave it out",
    "--num-scheduler-steps": "leave it out",
    "--worker-use-ray": "use the key backend",
    "--engine-use-ray": "use the key backend",
    "--speculative-model": "use --speculative-config",
    "--num-speculative-tokens": "use --speculative-config",
}

UNSAFE_FLAGS: t.Final = {
    "--config": "a file could set anything, unseen by these checks; write its options here",
    "--trust-request-chat-template": "it lets every caller run templates of their own",
}

SECRET_ENV: t.Final = {
    "VLLM_API_KEY": _KEY_FILE,
    "HF_TOKEN": _TOKEN,
    "HUGGING_FACE_HUB_TOKEN": _TOKEN,
}

RESERVED_ENV: t.Final = {
    "CUDA_VISIBLE_DEVICES": _SLURM_GPUS,
    "NVIDIA_VISIBLE_DEVICES": _SLURM_GPUS,
    "ROCR_VISIBLE_DEVICES": _SLURM_GPUS,
    "HF_HUB_CACHE": "set vllm_jobs_models_dir",
    "HF_HUB_OFFLINE": "serving is offline; the role model_store downloads",
    "VLLM_USE_V1": "vLLM no longer has it; leave it out",
    "VLLM_USE_SYMMETRIC_MEMORY": "vLLM never had it; see VLLM_ALLREDUCE_USE_SYMM_MEM and VLLM_USE_NCCL_SYMM_MEM",
    "VLLM_SERVER_DEV_MODE": _DEV_MODE,
    "PYTHONOPTIMIZE": "it removes checks of the engine",
    "PATH": "set vllm_jobs_venv",
    "IFS": "it belongs to the job script's shell",
    "ENV": "it belongs to the job script's shell",
    "UID": "it belongs to the job script's shell",
    "EUID": "it belongs to the job script's shell",
    "PPID": "it belongs to the job script's shell",
    "SHELLOPTS": "it belongs to the job script's shell",
    "LD_PRELOAD": "it would load code into every program of the job",
}
_RESERVED_PREFIXES: t.Final = {
    "SLURM_": "it belongs to Slurm",
    "SLURMD_": "it belongs to Slurm",
    "SBATCH_": "it belongs to Slurm",
    "SRUN_": "it belongs to Slurm",
    "BASH": "it belongs to the job script's shell",
}

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIALS?)(?:_|$)", re.IGNORECASE
)
_SECRET_VALUE = re.compile(r"hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY")


def flag_of(word: str) -> str:
    """The option a word of a command line names, without its value, spelled with dashes.

    Of an option that takes JSON, its parts may be said one by one: --profiler-config.profiler=torch.
    """
    flag = word.split("=", 1)[0]
    return flag.split(".", 1)[0].replace("_", "-") if flag.startswith("--") else flag


def _lookup(table: t.Mapping[str, str], flag: str) -> str | None:
    if flag in table:
        return table[flag]
    # The engine's parser takes any unambiguous beginning of a long option for the option itself.
    if flag.startswith("--") and len(flag) > 4:
        return next((table[name] for name in table if name.startswith(flag)), None)
    return None


def _key_of(flag: str, of_entry: bool) -> str | None:
    """The key that writes this option."""
    if of_entry and _LEVEL.fullmatch(flag):
        return "optimization_level"
    return _lookup({**OWN_FLAGS, **ENTRY_FLAGS} if of_entry else OWN_FLAGS, flag)


def key_of_option(name: str) -> str | None:
    """The key of an entry for an engine's option that somebody wrote as a key: enforce_eager is eager."""
    return {**OWN_FLAGS, **ENTRY_FLAGS}.get("--" + name.replace("_", "-"))


def flag_problem(word: str, of_entry: bool = True) -> str | None:
    """Why this word may not stand in a catalogue, with what to do; None when it may.

    `of_entry` is false for the words that a site gives to all its engines.
    """
    flag = flag_of(word)
    reason = _lookup(SECRET_FLAGS, flag)
    if reason:
        return f"{flag} (value not shown) is refused: {reason}"
    if _SECRET_VALUE.search(word):
        return f"a word that looks like a secret (not shown) is refused: {_KEY_FILE}"
    if not flag.startswith("-"):
        return None
    if flag in REMOVED_FLAGS:
        return f"{flag} is refused: vLLM no longer has it; {REMOVED_FLAGS[flag]}"
    reason = _lookup(UNSAFE_FLAGS, flag)
    if reason:
        return f"{flag} is refused: {reason}"
    key = _key_of(flag, of_entry)
    return f"{flag} is refused: write the key {key} instead" if key else None


def env_problem(name: t.Any, value: t.Any) -> str | None:
    """Why this variable may not stand in a catalogue, with what to do; None when it may."""
    if not isinstance(name, str) or not _ENV_NAME.fullmatch(name):
        return f"{name!r} is no name of a variable; allowed are letters, digits and '_', the first no digit"
    if name in SECRET_ENV:
        return f"{name} (value not shown) is refused: {SECRET_ENV[name]}"
    prefix = next((start for start in _RESERVED_PREFIXES if name.startswith(start)), "")
    reason = RESERVED_ENV.get(name) or _RESERVED_PREFIXES.get(prefix)
    if reason:
        return f"{name} is refused: {reason}"
    if _SECRET_NAME.search(name) or (isinstance(value, str) and _SECRET_VALUE.search(value)):
        return f"{name} (value not shown) is refused: it looks like a secret; a job script is no place for one"
    return None
