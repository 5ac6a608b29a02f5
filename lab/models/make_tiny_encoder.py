# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the encoder of the lab, a model that was made to embed, beside the tiny models in `hub/`.

A BERT with random weights and the tokenizer of phi3-tiny. What it makes of one text is kept beside it, worked out by
transformers: so a test sees by the numbers that weights, tokenizer and pooling are right. The result is committed; this
is run only to change it, after make_tiny_model.py and with what that needs.
"""

# mypy: disable-error-code="import-not-found"
# torch and transformers are no tools of a checkout; they come with the environment this runs in.

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch
from make_tiny_model import HERE, ORGANISATION, folder, publish
from transformers import AutoTokenizer, BertConfig, BertModel

TOKENIZER = "phi3-tiny"
NAME = "bert-tiny"
TEXT = "What is Slurm?"
LENGTH = 512


@torch.no_grad()
def embedding(model: BertModel, tokens: list[int]) -> list[float]:
    """The first token's numbers, of length 1: what the engine pools of a BERT."""
    found = model(torch.tensor([tokens])).last_hidden_state[0, 0]
    return [round(float(number), 4) for number in torch.nn.functional.normalize(found, dim=0)]


def main() -> int:
    torch.manual_seed(20261122)
    source = HERE / "hub" / folder(TOKENIZER)
    tokenizer = AutoTokenizer.from_pretrained(source / "snapshots" / (source / "refs/main").read_text("ascii"))
    config = BertConfig(
        vocab_size=len(tokenizer),
        # vLLM's attention on the CPU wants a head size of at least 64.
        hidden_size=128,
        num_attention_heads=2,
        num_hidden_layers=2,
        intermediate_size=256,
        max_position_embeddings=LENGTH,
        pad_token_id=tokenizer.pad_token_id,
        # Ten times the usual: small random weights would make nearly the same of every text.
        initializer_range=0.2,
    )
    model = BertModel(config, add_pooling_layer=False).eval()
    with tempfile.TemporaryDirectory() as made:
        model.to(torch.bfloat16).save_pretrained(made)
        tokenizer.model_max_length = LENGTH
        tokenizer.save_pretrained(made)
        reference = {"text": TEXT, "embedding": embedding(model.float(), tokenizer.encode(TEXT))}
        (Path(made) / "reference.json").write_text(json.dumps(reference) + "\n", "utf-8")
        (Path(made) / "README.md").write_text(
            f"---\nlicense: gpl-3.0\n---\n# {ORGANISATION}/{NAME}\n\n"
            "A BERT with random weights for the lab and the tests of llmops.cluster; reference.json has what it makes "
            "of\none text. Made by lab/models/make_tiny_encoder.py.\n",
            "utf-8",
        )
        sys.stderr.write(f"{NAME}: commit {publish(Path(made), NAME, HERE / 'hub')}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
