# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Causes in the command line of the engine and in what the model is. Data."""

from __future__ import annotations

from ansible_collections.llmops.cluster.plugins.module_utils._manager.causes import CONSEQUENCE, LIKELY, Cause

CAUSES: tuple[Cause, ...] = (
    Cause(
        "unknown-option",
        r"error: unrecognized arguments: (?P<what>.+)",
        "The installed vLLM has no option {what}.",
        "Take it out of extra_args of {model} (or of vllm_jobs_engine_args) and deploy again. Options come and go with "
        "releases: --disable-log-requests, --swap-space and --task are gone.",
    ),
    Cause(
        "bad-option-value",
        r"error: argument (?P<what>[^:]+): (?P<why>.+)",
        "vLLM does not take the value of {what}: {why}.",
        "Correct it in the entry {model} of vllm_models and deploy again.",
    ),
    Cause(
        "length-above-model",
        r"User-specified max_model_len \((?P<asked>\d+)\) is greater than the derived max_model_len "
        r"\((?:[^)]*?=)?(?P<allowed>[\d.]+)",
        "max_model_len is {asked}, and the model was made for {allowed} tokens.",
        "Set max_model_len of {model} to {allowed} or less and deploy again.",
    ),
    Cause(
        "heads-not-divisible",
        r"[Tt]otal number of attention heads \((?P<heads>\d+)\) must be divisible by tensor parallel size "
        r"\((?P<tp>\d+)\)",
        "tensor_parallel_size {tp} does not divide the model's {heads} attention heads.",
        "Choose a tensor_parallel_size that divides {heads}; `vllm-manager plan {model}` names one.",
    ),
    Cause(
        "more-gpus-than-there-are",
        r"World size \((?P<world>\d+)\) is larger than the number of available GPUs \((?P<gpus>\d+)\)",
        "The engine wants {world} GPUs, and the job has {gpus}.",
        "Make gpus of {model} equal to tensor_parallel_size x pipeline_parallel_size and deploy again.",
    ),
    Cause(
        "architecture-unknown",
        r"Model architectures \[?'?(?P<what>[^'\]]+)'?\]? (?:are not supported|failed to be inspected)",
        "The installed vLLM does not know models of the kind {what}.",
        "Use a vLLM that does (vllm_version, playbook deploy_vllm), or another model.",
    ),
    Cause(
        "transformers-too-old",
        r"model (?:of )?type `?(?P<what>[\w-]+)`? but Transformers does not recognize this architecture",
        "The installed transformers does not know models of the type {what}.",
        "Install a newer vLLM, which brings a newer transformers (vllm_version, playbook deploy_vllm).",
    ),
    Cause(
        "needs-remote-code",
        r"contains custom code which must be executed|Please pass the argument `?trust_remote_code=True|"
        r"setting `?trust_remote_code=True`? in LLM",
        "The model brings Python code of its own, and running it is not allowed.",
        "Read that code. If you trust it, set trust_remote_code: true and a 40-digit revision for {model}.",
    ),
    Cause(
        "gated-model",
        r"GatedRepoError|Cannot access gated repo|Access to model \S+ is restricted|You are trying to access a gated "
        r"repo",
        "The model is behind a licence that your token's account has not accepted, or no token was given.",
        "Accept the licence on the model's page, set model_store_token_file, and deploy again.",
    ),
    Cause(
        "model-not-downloaded",
        r"The model is not on (?P<node>\S+): (?P<path>\S+) is missing",
        "The model was never downloaded to {node}: {path} is missing.",
        "Run deploy-vllm-models.yml -e model={model}, which downloads it to every compute host.",
    ),
    Cause(
        "snapshot-incomplete",
        r"LocalEntryNotFoundError|OfflineModeIsEnabled|cannot find the requested files in the (?:local|disk) cache|"
        r"We couldn't connect to '?\S+'? to load (?:the|this) files?|outgoing traffic has been disabled|"
        r"Invalid repository ID or local directory specified",
        "The model's files on the node are not complete, and jobs do not download.",
        "Run deploy-vllm-models.yml -e model={model}: it fetches what is missing. Check model_id and revision of the "
        "entry.",
    ),
    Cause(
        "weights-missing",
        r"Cannot find any model weights with",
        "The model's folder has no weights that vLLM can load.",
        "Check model_id and revision of {model} (GGUF and adapter repositories hold no usable weights), deploy again.",
    ),
    Cause(
        "weights-broken",
        r"SafetensorError|Error while deserializing header|MetadataIncompleteBuffer|HeaderTooLarge|"
        r"InvalidHeaderDeserialization",
        "A file of the weights is damaged or was cut off.",
        "Remove the model's folder below /opt/models on that node and run deploy-vllm-models.yml -e model={model}: the "
        "download is verified.",
    ),
    Cause(
        "weights-do-not-fit-model",
        r"(?:size mismatch for|[Ff]ollowing weights were not initialized from checkpoint|shape mismatch.*param)",
        "The weights do not belong to the model's config.json, or to the quantization that was asked for.",
        "Check revision and quantization of {model}; leave quantization out for a model that is quantized already.",
        rank=LIKELY,
    ),
    Cause(
        "quantization-not-on-this-gpu",
        r"[Qq]uantization (?:method|scheme) (?P<what>\S* ?)is not supported for the current GPU",
        "This kind of GPU cannot compute with the model's quantization {what}.",
        "Use another quantization for {model}, or GPUs that have it (FP8 needs an L4, L40S, H100 or newer).",
    ),
    Cause(
        "bfloat16-not-on-this-gpu",
        r"Bfloat16 is only supported on GPUs with compute capability of at least (?P<need>[\d.]+)",
        "This GPU has no bfloat16, which needs compute capability {need}.",
        "Set dtype: half for {model} and deploy again.",
    ),
    Cause(
        "not-a-multimodal-model",
        r"(?P<what>\S+) is not a multimodal model",
        "{what} reads no images, and an option for images was given.",
        "Take vision and limit_mm_per_prompt out of the entry {model} and deploy again.",
    ),
    Cause(
        "cpu-head-size",
        r"Unsupported CPU attention configuration",
        "vLLM's attention for CPUs does not have the head size of this model.",
        "Use another model on CPUs (head sizes 32, 64, 80, 96, 112, 128, 192, 256), or a GPU.",
    ),
    Cause(
        "no-compiler",
        r"InvalidCxxCompiler|Failed to find C compiler|No working C\+\+ compiler|(?:g\+\+|gcc)['\"]?: (?:No such "
        r"file|not found)",
        "torch.compile needs a C++ compiler, and the node has none.",
        "Install g++ on the compute hosts, or set eager: true for {model} and deploy again.",
    ),
    Cause(
        "no-python-headers",
        r"fatal error: Python\.h: No such file or directory",
        "torch.compile needs the headers of Python, and the node has none.",
        "Install python3-dev on the compute hosts, or set eager: true for {model} and deploy again.",
    ),
    Cause(
        "packages-do-not-match",
        r"operator torchvision::nms does not exist|undefined symbol: |No package metadata was found for (?P<what>\S+)",
        "The packages in the engine's environment do not fit each other.",
        "Remove the engine's environment on that node and run the playbook deploy_vllm, which builds it anew.",
    ),
    Cause(
        "python-module-missing",
        r"(?:ModuleNotFoundError|Failed to import \w+): No module named '(?P<what>[^']+)'",
        "The engine's environment lacks the Python package {what}.",
        "Add it to vllm_extra_packages and run the playbook deploy_vllm.",
        rank=LIKELY,
    ),
    Cause(
        "engine-not-installed",
        r"(?P<path>/\S*(?:bin/vllm|bin/python\S*))['\"]?: No such file or directory|execve\(\): (?P<path2>\S*vllm): "
        r"No such",
        "The engine is not on this node.",
        "Run the playbook deploy_vllm: it installs the engine on every compute host.",
    ),
    Cause(
        "dense-model-data-parallel",
        r"Non-MoE models do not support external data parallel|[Uu]nsupported for non-MoE models|"
        r"launch independent vLLM instances|assert self\.stats_update_address is not None",
        "Data parallelism over several servers is for mixtures of experts only.",
        "Set data_parallel_size: 1 and use replicas for {model}.",
    ),
    Cause(
        "nodes-not-divisible",
        r"nnodes \((?P<nodes>\d+)\) must be divisible|must be divisible by (?:the number of )?nnodes",
        "The parallel sizes do not divide over the nodes.",
        "Choose sizes whose product is nodes x gpus; `vllm-manager plan {model}` names them.",
    ),
    Cause(
        "engine-failed-to-start",
        r"Engine core initialization failed|EngineCore failed to start|Frontend process failed during engine core",
        "The engine's core did not start, and its log names no cause that is known here.",
        "Read the first error in `vllm-manager logs {model}`.",
        rank=CONSEQUENCE + 20,
    ),
)
