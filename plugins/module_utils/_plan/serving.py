# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of catalogue entries, and the sizes they give to entries that leave them open. Private to this collection."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.errors import NotInThisReleaseError
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.jobs import complete_site, serve_job
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.launch import contained, profiler_flags
from ansible_collections.llmops.cluster.plugins.module_utils._catalogue.plan import catalogue_plan, given_keys
from ansible_collections.llmops.cluster.plugins.module_utils._plan.advice import advice
from ansible_collections.llmops.cluster.plugins.module_utils._plan.architecture import read_architecture
from ansible_collections.llmops.cluster.plugins.module_utils._plan.check import layout_problems, layout_warnings
from ansible_collections.llmops.cluster.plugins.module_utils._plan.choose import Choice, choose
from ansible_collections.llmops.cluster.plugins.module_utils._plan.errors import PlanError
from ansible_collections.llmops.cluster.plugins.module_utils._plan.fit import Model, cache_options, settle_model
from ansible_collections.llmops.cluster.plugins.module_utils._plan.gpus import Group, read_groups
from ansible_collections.llmops.cluster.plugins.module_utils._plan.kv import cache_of, token_bytes
from ansible_collections.llmops.cluster.plugins.module_utils._plan.layout import Layout
from ansible_collections.llmops.cluster.plugins.module_utils._plan.parser import option_problems
from ansible_collections.llmops.cluster.plugins.module_utils._plan.report import facts, plan_text
from ansible_collections.llmops.cluster.plugins.module_utils._plan.wish import Wish, read_wish

SIZES: t.Final = (
    "nodes",
    "gpus",
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "data_parallel_size",
    "expert_parallel",
)


def _layout(entry: Mapping[str, t.Any]) -> Layout:
    return Layout(
        entry["nodes"],
        entry["gpus"],
        entry["tensor_parallel_size"],
        entry["pipeline_parallel_size"],
        entry["data_parallel_size"],
        entry["expert_parallel"],
    )


def _fixed(entry: Mapping[str, t.Any], given: t.Collection[str]) -> dict[str, int]:
    """The sizes that the entry decides. Tensor and GPUs settle each other, so one of them given means both are."""
    named = {key for key in SIZES if key in given}
    if named & {"gpus", "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"}:
        named |= {"gpus", "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "nodes"}
    return {key: entry[key] for key in SIZES if key in named}


def _on_cpu(model: Model, wish: Wish, entry: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What a server on the CPU will report; its memory is the host's, so nothing is sized."""
    layout = _layout(entry)
    found: dict[str, t.Any] = {
        "state": "measured",
        "max_model_len": model.length,
        "dtype": model.dtype,
        "architecture": model.architecture.name,
        "quantization": model.weights.quantization.method if model.weights.quantization else None,
        "weights_bytes": model.weights.total(),
        "files_bytes": model.files,
        "problems": [problem.words() for problem in layout_problems(model.architecture, wish, layout)],
        "warnings": layout_warnings(wish, None, layout),
    }
    options = cache_options(model, wish, None)
    if wish.kv_bytes is not None:
        cache = cache_of(model.architecture, layout, options, [float(wish.kv_bytes)] * layout.pipeline)
        page = token_bytes(model.architecture, layout.tensor, options.element_bytes)
        found["cache"] = {
            "block_size": options.block,
            "blocks": cache.blocks,
            "bytes_per_token": page * model.architecture.layers,
            "tokens": cache.tokens(model.length) * layout.data,
            "concurrency": round(cache.concurrency() * layout.data, 2),
        }
    if found["problems"]:
        found["state"] = "refused"
    return found


def _planned(
    choice: Choice, wish: Wish, files: int | None, fixed: Mapping[str, int], rate: float | None
) -> dict[str, t.Any]:
    gpu = choice.group.gpu if choice.group else None
    options = cache_options(choice.model, wish, gpu)
    found = facts(choice, options.element_bytes, options.block, rate)
    found["state"] = "planned" if choice.works else "refused"
    if not choice.works and not choice.problems and choice.fit:
        found["advice"] = advice(choice.model.architecture, wish, files, choice, fixed)
        found["problems"] = [_lacking(choice)]
    return found


def _lacking(choice: Choice) -> str:
    fit, group = choice.fit, choice.group
    if fit is None or group is None:
        return "no layout is possible"
    needs = f"the layout that comes nearest, {fit.layout.words()} on {fit.layout.world} x {group.gpu.type},"
    if fit.cache_bytes <= 0:
        gib = -fit.cache_bytes / 2**30
        return f"{needs} lacks {gib:.1f} GiB on each GPU for weights and working memory"
    if not fit.cache.holds_one():
        return f"{needs} holds requests of {fit.longest:,} tokens, not of {fit.length:,}"
    return f"{needs} holds {fit.concurrency:.2f} requests of {fit.length:,} tokens, not {fit.wanted:g}"


def _of_type(groups: Sequence[Group], gres: str) -> Sequence[Group]:
    """The groups that jobs ask for: those of the type in vllm_jobs_gres (gpu:l4), or all."""
    kind = gres.partition(":")[2]
    return [group for group in groups if not kind or group.gpu.type == kind]


def _several_types(plan: Mapping[str, t.Any], groups: Sequence[Group], gres: str) -> list[str]:
    """A job that names no type may get GPUs of another one than it was planned for."""
    if plan["state"] != "planned":
        return []
    here = set(plan["nodes"]["partitions"])
    types = sorted({group.gpu.type for group in groups if here & set(group.partitions)})
    if len(types) < 2:
        return []
    wanted = plan["gpu"]["type"]
    return [
        f"the partition has GPUs of types {', '.join(types)}: vllm_jobs_gres: {gres or 'gpu'}:{wanted} asks for these."
    ]


def _one(
    entry: Mapping[str, t.Any],
    given: t.Collection[str],
    about: t.Any,
    groups: Sequence[Group],
    site: Mapping[str, t.Any],
    concurrency: float,
) -> dict[str, t.Any]:
    """The plan of one entry."""
    if not isinstance(about, Mapping) or not about.get("config"):
        return {"state": "unknown", "problems": ["its config.json is not at hand: the entry stays as it is"]}
    try:
        model = read_architecture(about["config"])
        wish = read_wish(entry, site, concurrency)
        files = about.get("weights_bytes") or None
        if wish.device == "cpu":
            return _on_cpu(settle_model(model, wish, files, None), wish, entry)
        if not groups:
            return {"state": "unknown", "problems": ["Slurm told of no GPUs: the entry stays as it is"]}
        fixed, asked = _fixed(entry, given), _of_type(groups, site["gres"])
        plan = _planned(choose(model, wish, files, asked, fixed), wish, files, fixed, about.get("mib_per_second"))
        plan["warnings"] += _several_types(plan, asked, site["gres"])
        return plan
    except PlanError as error:
        return {"state": "unknown", "problems": [str(error)]}


def _sized(entry: Mapping[str, t.Any], given: t.Collection[str], plan: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The keys that a plan gives to its entry: those that were left open."""
    if plan["state"] != "planned":
        return {}
    sizes = {key: value for key, value in plan["layout"].items() if key not in given}
    if plan["layout"]["nodes"] > 1 and plan["layout"]["data_parallel_size"] > 1 and "backend" not in given:
        sizes["backend"] = "rpc"
    return {key: value for key, value in sizes.items() if entry[key] != value}


def _checked(
    entry: Mapping[str, t.Any], sizes: Mapping[str, t.Any], site: Mapping[str, t.Any], parser: t.Any
) -> dict[str, list[str]]:
    """What the installed engine says about the command line of this entry, and what this release cannot run yet."""
    try:
        argv = [*serve_job({**entry, **sizes}, site)["argv"], *profiler_flags(entry)]
        # The parser is that of the environment on the node; an image has a vLLM of its own.
        return {"options": [] if contained(entry) else option_problems(argv, parser), "limits": []}
    except NotInThisReleaseError as error:
        return {"options": [], "limits": [str(error)]}


def _wanted(concurrency: t.Any) -> float:
    """Requests at the same time; a text where the command line gave it."""
    try:
        wanted = float(concurrency)
    except (TypeError, ValueError):
        wanted = 0.0
    if not 0 < wanted < float("inf"):
        raise PlanError(f"Planning failed: concurrency: {concurrency!r} found; allowed is a number above 0.")
    return wanted


def serving_plan(
    models: t.Any,
    defaults: t.Any = None,
    selection: t.Any = None,
    overrides: t.Any = None,
    configs: t.Any = None,
    gpus: t.Any = None,
    site: Mapping[str, t.Any] | None = None,
    parser: t.Any = None,
    concurrency: t.Any = 1.0,
) -> list[dict[str, t.Any]]:
    """A plan for each selected entry: whether it fits and how, in numbers and as text.

    `configs` holds, for each name, config (the config.json), weights_bytes and perhaps mib_per_second. `gpus` is
    what parse_sinfo gives, or written by a person. An entry without its config is left as it is: state unknown.
    """
    groups, wanted = read_groups(gpus or []), _wanted(concurrency)
    complete = complete_site(site or {})
    about = configs if isinstance(configs, Mapping) else {}
    given = given_keys(models, defaults, overrides)
    plans = []
    for entry in catalogue_plan(models, defaults, selection, overrides):
        name = entry["name"]
        plan = {"name": name, "model_id": entry["model_id"], "advice": []}
        plan.update(_one(entry, given[name], about.get(name), groups, complete, wanted))
        plan["sizes"] = _sized(entry, given[name], plan)
        plan.update(_checked(entry, plan["sizes"], complete, parser))
        if contained(entry):
            unchecked = f"its options are not checked: the vLLM in {entry['image']} is not asked which ones it has."
            plan["warnings"] = [*plan.get("warnings", []), unchecked]
        plan["text"] = plan_text({**plan, "problems": [*plan["problems"], *plan["options"]]})
        plans.append(plan)
    return plans


def planned_overrides(overrides: t.Any, plans: Sequence[Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """Overrides of a site with the sizes of plans added; what the site says itself stays."""
    found = dict(overrides) if isinstance(overrides, Mapping) else {}
    for plan in plans:
        if plan["sizes"]:
            found[plan["name"]] = {**plan["sizes"], **(found.get(plan["name"]) or {})}
    return found


def plan_problems(plans: Sequence[Mapping[str, t.Any]]) -> list[str]:
    """Why these plans cannot be submitted, in words; none when they can."""
    found = []
    for plan in plans:
        if plan["state"] == "refused":
            ways = f" What would do: {'; '.join(plan['advice'])}." if plan["advice"] else ""
            found += [f"{plan['name']}: {problem}.{ways}".replace("..", ".") for problem in plan["problems"]]
        found += [f"{plan['name']}: {problem}" for problem in [*plan["options"], *plan["limits"]]]
    return found
