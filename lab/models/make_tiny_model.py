# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the tiny models of the lab: `hub/` beside this script, a cache in Hub layout, ready to be served.

Each is a Llama of about a million weights with a tokenizer and chat template of its own, trained from a fixed seed to
know `questions.yml` by heart. So at temperature 0 a test can assert the exact text of an answer, which noise would not
show to be right: a broken download, tokenizer or template changes it.

The results are committed; this is run only to change them. It needs torch, transformers and PyYAML, for which an
environment with vLLM will do, and takes a minute or two a model on two cores.
"""

# mypy: disable-error-code="import-not-found"
# torch and transformers are no tools of a checkout; they come with the environment this runs in.

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import typing as t
from pathlib import Path

import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

HERE = Path(__file__).resolve().parent
ORGANISATION = "llmops-lab"
SPECIAL = ["<unk>", "</s>", "<pad>", "<|system|>", "<|user|>", "<|assistant|>"]
# The same files once more, for the hub to serve as a gated repository.
GATED = "gated-tiny"
UNKNOWN, END, PAD = 0, 1, 2
VOCABULARY = 512
LENGTH = 2048
BATCH = 48
# The margin by which the right token must beat the next one, in logits: bf16 and another order of summing move a logit
# by hundredths.
MARGIN = 3.0

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
# Two cores of a laptop train it in a minute; vLLM's CPU attention wants a head size of at least 64.
SHAPE: dict[str, t.Any] = {
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 64,
    "tie_word_embeddings": True,
}


class Knowledge:
    """What one model shall say."""

    def __init__(self, name: str, data: dict[str, t.Any]) -> None:
        self.pairs = [(entry["question"], entry["answer"]) for entry in data["questions"] + data["models"][name]]
        self.fallback: str = data["fallback"]["answer"]
        self.others: list[str] = data["fallback"]["questions"]

    def texts(self) -> list[str]:
        return [text for pair in self.pairs for text in pair] + [self.fallback, *self.others]


def completion_prompt(question: str) -> str:
    """The form in which /v1/completions is asked."""
    return f"Question: {question}\nAnswer:"


def make_tokenizer(knowledge: Knowledge) -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE(unk_token=SPECIAL[UNKNOWN]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator([completion_prompt(text) for text in knowledge.texts()], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        unk_token=SPECIAL[UNKNOWN],
        eos_token=SPECIAL[END],
        pad_token=SPECIAL[PAD],
        additional_special_tokens=SPECIAL[3:],
        model_max_length=LENGTH,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


class Examples:
    """Training examples: the known pairs in both forms, alone, after a system message or an earlier turn."""

    def __init__(self, knowledge: Knowledge, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
        self._knowledge = knowledge
        self._tokenizer = tokenizer
        self._random = random.Random(seed)
        self._turns = False

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        known = self._knowledge.pairs
        # Long batches are slow, so earlier turns come in every fourth one.
        self._turns = self._random.random() < 0.25
        # Every known pair in each batch as it stands; the rest loosely typed, or not known.
        rows = [self._example(question, answer) for question, answer in known]
        while len(rows) < BATCH:
            if self._random.random() < 0.6:
                rows.append(self._example(self._stranger(), self._knowledge.fallback))
            else:
                question, answer = self._random.choice(known)
                rows.append(self._example(self._loosely(question), answer))
        return self._stack(rows)

    def _example(self, question: str, answer: str) -> tuple[list[int], int]:
        """Tokens, and how many of them are the prompt, which is not learnt."""
        if self._random.random() < 0.25:
            prompt, reply = completion_prompt(question), " " + answer
        else:
            messages = [*self._before(), {"role": "user", "content": question}]
            prompt = t.cast(
                str, self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            )
            reply = answer
        start = self._encode(prompt)
        return [*start, *self._encode(reply), END], len(start)

    def _before(self) -> list[dict[str, str]]:
        lot = self._random.random()
        if lot < 0.15:
            return [{"role": "system", "content": "You are a helpful assistant."}]
        if lot < 0.7 or not self._turns:
            return []
        question, answer = self._random.choice(self._knowledge.pairs)
        return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]

    def _loosely(self, question: str) -> str:
        form = self._random.randrange(3)
        if form == 0:
            return question.lower()
        return question.rstrip("?!.") if form == 1 else question.lower().rstrip("?!.")

    def _stranger(self) -> str:
        """A question that nobody taught: from the list, or words of it thrown together."""
        if self._random.random() < 0.4:
            return self._random.choice(self._knowledge.others)
        words = " ".join(self._knowledge.others).split()
        return " ".join(self._random.choice(words) for _ in range(self._random.randint(2, 7)))

    def _encode(self, text: str) -> list[int]:
        return t.cast(list[int], self._tokenizer.encode(text, add_special_tokens=False))

    def _stack(self, rows: list[tuple[list[int], int]]) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(len(tokens) for tokens, _prompt in rows)
        tokens = torch.full((len(rows), width), PAD)
        labels = torch.full((len(rows), width), -100)
        for index, (row, prompt) in enumerate(rows):
            tokens[index, : len(row)] = torch.tensor(row)
            labels[index, prompt : len(row)] = torch.tensor(row[prompt:])
        return tokens, labels


def train(model: LlamaForCausalLM, examples: Examples, steps: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps, pct_start=0.1)
    model.train()
    for step in range(steps):
        tokens, labels = examples.batch()
        loss = model(input_ids=tokens, labels=labels, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps - 1:
            sys.stderr.write(f"  step {step}: loss {loss.item():.4f}\n")


@torch.no_grad()
def smallest_margin(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, knowledge: Knowledge) -> float:
    """By how much the right token leads, at worst, over all known answers in both forms; negative if one is wrong."""
    model.eval()
    worst = float("inf")
    for question, answer in knowledge.pairs:
        chat = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
        )
        for prompt, reply in ((chat, answer), (completion_prompt(question), " " + answer)):
            start = tokenizer.encode(prompt, add_special_tokens=False)
            rest = [*tokenizer.encode(reply, add_special_tokens=False), END]
            logits = model(torch.tensor([start + rest])).logits[0, len(start) - 1 : -1].float()
            right = logits.gather(1, torch.tensor(rest)[:, None])[:, 0]
            others = logits.scatter(1, torch.tensor(rest)[:, None], float("-inf")).max(dim=1).values
            worst = min(worst, (right - others).min().item())
    return worst


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, name: str, folder: Path) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # Whoever asks without a temperature, or with one, gets the known answer too: transformers heeds do_sample, vLLM
    # takes its defaults from here but knows no do_sample.
    generation = {"do_sample": False, "top_k": 1, "eos_token_id": END, "pad_token_id": PAD}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n", "utf-8")
    config = folder / "tokenizer_config.json"
    # The name every version of transformers knows; the newest writes another.
    settings = json.loads(config.read_text("utf-8")) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    config.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", "utf-8")
    (folder / "README.md").write_text(
        f"---\nlicense: gpl-3.0\n---\n# {ORGANISATION}/{name}\n\n"
        "A stand-in of about a million weights for the lab and the tests of llmops.cluster. It knows two dozen\n"
        "answers by heart (lab/models/questions.yml) and nothing else. Made by lab/models/make_tiny_model.py.\n",
        "utf-8",
    )


def folder(name: str) -> str:
    return f"models--{ORGANISATION}--{name}"


def publish(source: Path, name: str, hub: Path) -> str:
    """Lay the files out as the Hub's cache does. The commit is a hash of names and contents and changes with them."""
    repo = hub / folder(name)
    shutil.rmtree(repo, ignore_errors=True)
    (repo / "blobs").mkdir(parents=True)
    blobs = {path.name: blob_name(path) for path in sorted(source.iterdir())}
    listing = "".join(f"{blob} {path}\n" for path, blob in blobs.items())
    commit = hashlib.sha1(listing.encode(), usedforsecurity=False).hexdigest()
    snapshot = repo / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for path, blob in blobs.items():
        shutil.copyfile(source / path, repo / "blobs" / blob)
        os.symlink(f"../../blobs/{blob}", snapshot / path)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit, "ascii")
    return commit


def blob_name(path: Path) -> str:
    """As the Hub names content: sha256 for what it keeps in LFS, git's blob id for the rest."""
    content = path.read_bytes()
    if path.suffix == ".safetensors":
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def make(name: str, data: dict[str, t.Any], hub: Path, steps: int, seed: int) -> None:
    torch.manual_seed(seed)
    knowledge = Knowledge(name, data)
    tokenizer = make_tokenizer(knowledge)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=LENGTH,
        bos_token_id=None,
        eos_token_id=END,
        pad_token_id=PAD,
        **SHAPE,
    )
    model = LlamaForCausalLM(config)
    sys.stderr.write(f"{name}: {sum(weight.numel() for weight in model.parameters())} weights\n")
    train(model, Examples(knowledge, tokenizer, seed), steps)
    model = model.to(torch.bfloat16)
    margin = smallest_margin(model, tokenizer, knowledge)
    sys.stderr.write(f"  smallest margin {margin:.2f} logits\n")
    if margin < MARGIN:
        raise SystemExit(f"Training {name} failed: the smallest margin is {margin:.2f}, at least {MARGIN} is wanted.")
    with tempfile.TemporaryDirectory() as made:
        save(model, tokenizer, name, Path(made))
        sys.stderr.write(f"  commit {publish(Path(made), name, hub)}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the tiny models of the lab.")
    parser.add_argument("--out", type=Path, default=HERE / "hub", help="cache to write (default: %(default)s)")
    parser.add_argument("--questions", type=Path, default=HERE / "questions.yml", help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=260, help="training steps (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=20261101, help="default: %(default)s")
    args = parser.parse_args()
    data = yaml.safe_load(args.questions.read_text("utf-8"))
    for offset, name in enumerate(sorted(data["models"])):
        make(name, data, args.out, args.steps, args.seed + offset)
    gated = args.out / folder(GATED)
    gated.unlink(missing_ok=True)
    gated.symlink_to(folder(sorted(data["models"])[-1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
