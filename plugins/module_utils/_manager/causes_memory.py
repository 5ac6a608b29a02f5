# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Causes in memory, disks and GPUs. Data."""

from __future__ import annotations

from ansible_collections.llmops.cluster.plugins.module_utils._manager.causes import CONSEQUENCE, LIKELY, ROOT, Cause

CAUSES: tuple[Cause, ...] = (
    Cause(
        "cache-too-small",
        r"To serve at least one request with the model's max seq len \((?P<asked>\d+)\), \(?(?P<need>[\d.]+ ?GiB) KV "
        r"cache "
        r"is needed.*KV cache memory \((?P<have>[\d.]+ ?GiB)\)",
        "The cache for one request of {asked} tokens needs {need}, and {have} are left beside the weights.",
        "Lower max_model_len of {model}, raise gpu_memory_utilization (on a CPU --kv-cache-memory-bytes), use "
        "kv_cache_dtype: "
        "fp8 or more GPUs. `vllm-manager plan {model}` computes them.",
    ),
    Cause(
        "no-room-for-cache",
        r"No available memory for the cache blocks",
        "The weights take all the memory that the engine may use: none is left for the cache.",
        "Raise gpu_memory_utilization of {model}, use a quantized model or more GPUs; `vllm-manager plan {model}` "
        "computes them.",
    ),
    Cause(
        "cpu-memory-too-small",
        r"Available memory on node \S+ \((?P<have>[\d.]+)/(?P<total>[\d.]+) GiB\).*less than.*?(?P<asked>[\d.]+) GiB",
        "The engine wants {asked} GiB of the node's memory, and {have} of {total} GiB are free.",
        "Lower --kv-cache-memory-bytes (extra_args of {model}, or vllm_jobs_engine_args), or use a larger node.",
    ),
    Cause(
        "gpu-memory-taken",
        r"Free memory on device (?P<device>\S* ?)\((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on startup is less than",
        "Only {free} of {total} GiB of the GPU are free: another process holds the rest, or the engine asks for too "
        "much.",
        "Look at the GPU with `nvidia-smi` on the node and end what is left of old jobs, or lower "
        "gpu_memory_utilization of "
        "{model}.",
    ),
    Cause(
        "gpu-out-of-memory",
        r"CUDA out of memory|torch\.(?:cuda\.)?OutOfMemoryError|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED",
        "The GPU's memory was used up.",
        "Lower gpu_memory_utilization (0.90 to 0.85), max_num_seqs or max_model_len of {model}, or use more GPUs; "
        "`vllm-manager plan {model}` computes what fits.",
        rank=ROOT + 5,
    ),
    Cause(
        "host-memory-limit",
        r"Detected \d+ oom[_-]kill event|Some of (?:your processes|the step tasks) may have been killed by the cgroup "
        r"out-of-memory handler|Exceeded job memory limit",
        "The job used more of the host's memory than Slurm gave it, and was killed.",
        "Raise mem of {model} (weights pass through host memory while they load) and deploy again.",
        rank=ROOT - 5,
    ),
    Cause(
        "host-out-of-memory",
        r"Cannot allocate memory|std::bad_alloc|DefaultCPUAllocator: (?:can't|not enough)|MemoryError",
        "The node has no memory left.",
        "Raise mem of {model}, or look what else runs on the node (`free -h`).",
        rank=LIKELY,
    ),
    Cause(
        "shared-memory-full",
        r"Bus error|unable to (?:mmap|open shared memory)|/dev/shm.*No space left|No space left on "
        r"device.*(?:/dev/shm|psm_|shm)",
        "/dev/shm of the node is full; the processes of the engine talk through it.",
        "Make it larger (half of the memory is usual: `mount -o remount,size=50% /dev/shm`) and remove what dead "
        "jobs left there.",
    ),
    Cause(
        "disk-full",
        r"No space left on device|\[Errno 28\]|Disk quota exceeded",
        "A file system of the node is full.",
        "Look with `df -h` on the node: caches of compiled code and logs of old jobs are the usual ones.",
        rank=LIKELY,
    ),
    Cause(
        "file-forbidden",
        r"PermissionError: \[Errno 13\] Permission denied: '?(?P<path>[^'\s]+)",
        "The jobs' user may not use {path}.",
        "Give it to the user of the jobs, or run the playbooks, which set the owners of everything they make.",
        rank=LIKELY,
    ),
    Cause(
        "stale-file-handle",
        r"Stale file handle",
        "A file on a network file system went away while it was used: most often a cache of compiled code in a "
        "shared home.",
        "Put the caches on a local disk: VLLM_CACHE_ROOT and TRITON_CACHE_DIR in env of {model}.",
    ),
    Cause(
        "driver-not-loaded",
        r"NVIDIA-SMI has failed|Found no NVIDIA driver|No CUDA GPUs are available|Failed to infer device type|"
        r"CUDA_ERROR_NO_DEVICE|no CUDA-capable device",
        "The job sees no GPU: the driver is not loaded, or Slurm gave the job none.",
        "Run `nvidia-smi` on the node. If it fails, run the playbook deploy_nvidia; if it works, set gpus of {model} "
        "and "
        "check `scontrol show node` for Gres.",
    ),
    Cause(
        "driver-library-mismatch",
        r"Driver/library version mismatch",
        "The NVIDIA driver was updated while its old kernel module is still loaded.",
        "Drain the node and reboot it; the playbook deploy_nvidia does both.",
    ),
    Cause(
        "driver-too-old",
        r"NVIDIA driver on your system is too old|CUDA driver version is insufficient|[Ff]orward compatibility was "
        r"attempted|"
        r"Error 80[34]|CUDA_ERROR_(?:UNSUPPORTED_PTX|COMPAT_NOT_SUPPORTED)|unsupported toolchain",
        "The NVIDIA driver is older than the CUDA of the engine.",
        "Run the playbook deploy_nvidia with a newer branch (nvidia_branch), or install a vLLM for the older CUDA.",
    ),
    Cause(
        "no-kernel-for-gpu",
        r"no kernel image is available for execution on the device",
        "The engine was built without code for this kind of GPU.",
        "Use another build of vLLM, or other GPUs (vllm_jobs_gres: gpu:TYPE).",
    ),
    Cause(
        "gpu-fell-off",
        r"NVRM: Xid|uncorrectable (?:NVLink|ECC)|[Uu]ncorrectable ECC error|GPU is lost|fallen off the bus|CUDA "
        r"error: unknown error",
        "The GPU has a fault of its hardware.",
        "Drain the node (`scontrol update nodename=NODE state=drain reason=gpu`), reset or replace the GPU; "
        "`vllm-manager restart "
        "{model}` takes another node.",
    ),
    Cause(
        "gpu-kernel-crashed",
        r"CUDA error: (?P<what>an illegal memory access was encountered|device-side assert triggered|unspecified "
        r"launch failure)",
        "A computation on the GPU crashed: {what}.",
        "Start it again; if it comes back set eager: true for {model}, and report it to vLLM with the log.",
        rank=LIKELY,
    ),
    Cause(
        "gpu-missing-in-job",
        r"CUDA error: invalid device ordinal|device_ordinal.*invalid|Invalid device id",
        "The engine uses a GPU that the job was not given.",
        "Take CUDA_VISIBLE_DEVICES out of env of {model}: Slurm sets it.",
    ),
    Cause(
        "engine-core-died",
        r"(?:Worker proc|EngineCore|Engine core proc|RayWorkerProc|DPCoordinator)\S*(?: \S+){0,3} died unexpectedly|"
        r"EngineDeadError|"
        r"EngineCore encountered an issue",
        "A process of the engine was killed or crashed while it served; its log names no cause.",
        "Look for a kill in `journalctl -k` and `sacct -j {job_id}` on the node (memory is the usual one), then "
        "`vllm-manager "
        "restart {model}`.",
        rank=CONSEQUENCE,
    ),
    Cause(
        "engine-ended-alone",
        r"The engine ended by itself with status 0, which is what a dead engine does",
        "The engine lost its core and ended, with status 0, as vLLM does.",
        "Look for a kill in `journalctl -k` on the node (memory is the usual one), then `vllm-manager restart "
        "{model}`.",
        rank=CONSEQUENCE + 10,
    ),
)
