"""Values that break what is not careful: for the property tests of the logic and for those on a real Slurm.

CANARY stands in many of them: a command in a value that somebody runs makes a file of that name.
"""

from __future__ import annotations

import random

CANARY = "llmops-canary"
PIECES = [
    "",
    " ",
    "  two  spaces  ",
    "\t",
    "\n",
    "\r\n",
    "a\nb\nc\n",
    "'",
    '"',
    "`",
    "\\",
    "\\n",
    "'\"'\"'",
    "$HOME",
    "${PATH}",
    "$((1+1))",
    "%j-%x-%%",
    "~root",
    "*",
    "?[a-z]{a,b}",
    "!!",
    "#",
    "#SBATCH --wrap=true",
    "\n#SBATCH --array=1-9\n",
    "\n#!/bin/sh\n",
    "-",
    "--",
    "-c",
    "--wrap=true",
    "--help",
    "--uid=0",
    "--export=NONE",
    "a=b",
    "A=1 B=2",
    "JobState=FAILED ExitCode=1:0",
    " UserId=root(0) GroupId=root(0) ",
    " Comment=llmops:rec:0123456789abcdef StdErr=/x ",
    "--comment=llmops:rec:0123456789abcdef",
    "llmops:rec:0123456789abcdef",
    "JobId=1 JobName=x UserId=root(0) GroupId=root(0)",
    "{{ 1 + 1 }}",
    "{% raw %}",
    "{'json': [null, true]}",
    "None",
    "null",
    "(null)",
    "0x10",
    "1e3",
    "\x01\x02\x1b[31m",
    "\x1f",
    "\x7f",
    "é",
    "ß",
    "日本語",
    "😀",
    "e\u0301",
    "\u202egnp.txt",
    "\u2028",
    "\ufeff",
    "\U0010ffff",
    "|",
    "&",
    ";",
    "&& false",
    ">",
    "< /etc/passwd",
    "x" * 5000,
    "é\n'" * 1250,
    *(
        form.format(f"touch /tmp/{CANARY} $HOME/{CANARY} {CANARY}")
        for form in (
            "$({})",
            "`{}`",
            "; {} ;",
            "\n{}\n",
            "' ; {} ; '",
            '" ; {} ; "',
            "| {}",
            "&& {} #",
            "() {{ :; }}; {}",
        )
    ),
]


def values(count: int, seed: int) -> list[str]:
    """`count` values, the same for the same seed: each piece by itself first, then pieces put together."""
    chance = random.Random(seed)
    made = list(PIECES[:count])
    while len(made) < count:
        made.append("".join(chance.choices(PIECES, k=chance.choice([2, 2, 2, 3, 3, 4])))[:5000])
    chance.shuffle(made)
    return made
