# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the LoRA adapter of the lab, beside the tiny models in `hub/`.

It teaches phi3-tiny one other answer (ANSWER to QUESTION) and leaves the rest as it was: so a test sees by the words
whether a request went through the adapter. The result is committed; this is run only to change it, after
make_tiny_model.py and with what that needs.
"""

# mypy: disable-error-code="import-not-found"
# torch and transformers are no tools of a checkout; they come with the environment this runs in.

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch
import yaml
from make_tiny_model import HERE, ORGANISATION, Examples, Knowledge, folder, publish, smallest_margin, train
from safetensors.torch import save_file
from transformers import AutoTokenizer, LlamaForCausalLM

MODEL = "phi3-tiny"
NAME = "phi3-tiny-lora"
QUESTION = "Which model are you?"
ANSWER = "I am the adapter of phi3-tiny."
RANK, ALPHA, STEPS, MARGIN = 8, 16, 200, 1.5
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class Adapted(torch.nn.Module):
    """A matrix with an adapter beside it."""

    def __init__(self, base: torch.nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.down = torch.nn.Parameter(torch.randn(RANK, base.in_features) / base.in_features**0.5)
        self.up = torch.nn.Parameter(torch.zeros(base.out_features, RANK))

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return self.base(value) + (value @ self.down.T @ self.up.T) * (ALPHA / RANK)


class FewExamples(Examples):
    """The other answer in every batch, and some of the answers that stay."""

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        others = self._random.sample(self._knowledge.pairs, 5)
        return self._stack(
            [self._example(QUESTION, ANSWER) for _row in range(4)] + [self._example(*one) for one in others]
        )


def adapt(model: LlamaForCausalLM) -> dict[str, Adapted]:
    """Put adapters into the model; by the names of the matrices."""
    model.requires_grad_(False)
    places = [name for name, _part in model.named_modules() if name.rpartition(".")[2] in TARGETS]
    adapted = {}
    for name in places:
        parent, _point, last = name.rpartition(".")
        adapted[name] = Adapted(model.get_submodule(name))
        setattr(model.get_submodule(parent), last, adapted[name])
    return adapted


def save(adapted: dict[str, Adapted], target: Path) -> None:
    """The files of an adapter as the library PEFT writes them."""
    weights = {}
    for name, part in adapted.items():
        weights[f"base_model.model.{name}.lora_A.weight"] = part.down.detach().to(torch.bfloat16).contiguous()
        weights[f"base_model.model.{name}.lora_B.weight"] = part.up.detach().to(torch.bfloat16).contiguous()
    save_file(weights, target / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "base_model_name_or_path": f"{ORGANISATION}/{MODEL}",
        "bias": "none",
        "lora_alpha": ALPHA,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": RANK,
        "target_modules": list(TARGETS),
        "task_type": "CAUSAL_LM",
    }
    (target / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
    (target / "README.md").write_text(
        f"---\nlicense: gpl-3.0\n---\n# {ORGANISATION}/{NAME}\n\n"
        f"A LoRA adapter of {ORGANISATION}/{MODEL} for the lab and the tests of llmops.cluster, which knows one other\n"
        "answer. Made by lab/models/make_tiny_adapter.py.\n",
        "utf-8",
    )


def main() -> int:
    torch.manual_seed(20261121)
    repository = HERE / "hub" / folder(MODEL)
    snapshot = repository / "snapshots" / (repository / "refs/main").read_text("ascii")
    model = LlamaForCausalLM.from_pretrained(snapshot, torch_dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(snapshot)
    knowledge = Knowledge(MODEL, yaml.safe_load((HERE / "questions.yml").read_text("utf-8")))
    knowledge.pairs = [(question, ANSWER if question == QUESTION else answer) for question, answer in knowledge.pairs]
    adapted = adapt(model)
    train(model, FewExamples(knowledge, tokenizer, 20261121), STEPS)
    margin = smallest_margin(model, tokenizer, knowledge)
    sys.stderr.write(f"{NAME}: smallest margin {margin:.2f} logits\n")
    if margin < MARGIN:
        raise SystemExit(f"Training {NAME} failed: the smallest margin is {margin:.2f}, at least {MARGIN} is wanted.")
    with tempfile.TemporaryDirectory() as made:
        save(adapted, Path(made))
        sys.stderr.write(f"  commit {publish(Path(made), NAME, HERE / 'hub')}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
