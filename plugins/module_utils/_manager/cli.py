# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: what may be typed, and what --help says."""

from __future__ import annotations

import argparse
import re
import shutil
import typing as t

from ansible_collections.llmops.cluster.plugins.module_utils._manager.errors import EXITS, USAGE, ManagerError
from ansible_collections.llmops.cluster.plugins.module_utils._manager.words import meant
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.mask import mask

ABOUT = "Serves the models of the catalogue as Slurm jobs, and tells how they are."
EXAMPLES = """examples:
  vllm-manager list                       the models that can be served
  vllm-manager serve mistral              start it, show its progress, end when it answers
  vllm-manager status                     every model's job, node, address and state
  vllm-manager chat mistral "Hello?"      one question; without one, a conversation
  vllm-manager doctor mistral             why it failed, the line that shows it, the fix
"""


class Parser(argparse.ArgumentParser):
    """Faults are errors like all others, and never repeat what looks like a secret."""

    def error(self, message: str) -> t.NoReturn:
        words = _in_words(mask(message))
        raise ManagerError(f"{words}{'' if words.endswith(('?', '.')) else '.'} See `{self.prog} --help`.", USAGE)


_CHOICE = re.compile(r"argument (?P<what>\S+): invalid choice: '(?P<word>.*)' \(choose from (?P<known>.*)\)")


def _in_words(message: str) -> str:
    match = _CHOICE.fullmatch(message)
    if not match:
        return f"{message[:1].upper()}{message[1:]}"
    known = [name.strip(" '") for name in match["known"].split(",")]
    what = "command" if match["what"] == "COMMAND" else match["what"]
    return f"There is no {what} {match['word']}.{meant(match['word'], known)}"


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Names of commands and what they do on one line."""

    def __init__(self, prog: str) -> None:
        columns = min(shutil.get_terminal_size().columns - 2, 100)
        super().__init__(prog, max_help_position=26, width=columns)


def _exits() -> str:
    lines = [f"  {exit_.code:>3}  {exit_.meaning}" for exit_ in EXITS]
    return "\n".join(["exit codes:", *lines])


def _common() -> Parser:
    """Options that may stand before and behind the command."""
    common = Parser(add_help=False, allow_abbrev=False)
    common.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON document, for programs"
    )
    return common


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} found; allowed is a number above 0")
    return value


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} found; allowed is a whole number")
    return int(text)


def build_parser(prog: str = "vllm-manager") -> argparse.ArgumentParser:
    common = _common()
    parser = Parser(
        prog=prog,
        parents=[common],
        allow_abbrev=False,
        description=ABOUT,
        epilog=f"{EXAMPLES}\n{_exits()}",
        formatter_class=Formatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def add(name: str, words: str | None) -> argparse.ArgumentParser:
        shown: dict[str, t.Any] = {"help": words} if words else {}
        about = f"{words[0].upper()}{words[1:]}." if words else ""
        return commands.add_parser(
            name, parents=[common], allow_abbrev=False, description=about, formatter_class=Formatter, **shown
        )

    _add_looking(add)
    _add_running(add)
    _add_talking(add)
    return parser


Add = t.Callable[..., argparse.ArgumentParser]


def _add_looking(add: Add) -> None:
    add("list", "the models that can be served")
    plan = add("plan", "where models fit on the GPUs that Slurm has, before anything is submitted")
    plan.add_argument("model", nargs="*", metavar="MODEL", help="the models; without any, all")
    plan.add_argument("--gpus", metavar="[NODESx]COUNT[:TYPE]", help="plan for these GPUs instead: 4:l4, 2x8:h100")
    plan.add_argument(
        "--set", action="append", metavar="KEY=VALUE", help="as if the entry said so: max_model_len=16384"
    )
    plan.add_argument(
        "--concurrency", type=_seconds, default=1.0, metavar="N", help="requests of full length at once (default: 1)"
    )
    status = add("status", "every model's job, and whether it answers")
    status.add_argument("model", nargs="*", metavar="MODEL", help="these models alone")
    logs = add("logs", "what the engine says, while it runs and after")
    logs.add_argument("target", metavar="MODEL|JOB", help="a model, or the id of a job")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as it says more, until the job ends")
    logs.add_argument("-n", "--lines", type=_count, default=50, metavar="N", help="so many last lines (default: 50)")
    logs.add_argument("--errors", action="store_true", help="standard error alone")
    logs.add_argument("--batch", action="store_true", help="of the model's last batch, not of its server")
    logs.add_argument("--path", action="store_true", help="print where the logs are")
    doctor = add("doctor", "why a job failed or is not ready: the cause, the line that shows it, the fix")
    doctor.add_argument("target", nargs="*", metavar="MODEL|JOB", help="without any: every job that is not well")
    names = add("names", None)
    names.add_argument("what", choices=("models", "jobs", "targets"))
    shell = add("completion", "print the completion for a shell: source <(vllm-manager completion bash)")
    shell.add_argument("shell", choices=("bash", "zsh"))


def _add_waiting(parser: argparse.ArgumentParser, timeout: float, what: str) -> None:
    parser.add_argument("--timeout", type=_seconds, default=timeout, metavar="SECONDS", help=what)
    parser.add_argument(
        "--queue-timeout",
        type=_seconds,
        metavar="SECONDS",
        help="wait in the queue no longer (default: no limit)",
    )


def _add_dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and whether Slurm takes it")


def _add_running(add: Add) -> None:
    for name, words in (
        ("serve", "start models, unless their jobs are there already, and wait until they answer"),
        ("restart", "stop models and start them again"),
    ):
        one = add(name, words)
        one.add_argument("model", nargs="*", metavar="MODEL")
        one.add_argument("--all", action="store_true", help="all models that have a job script")
        one.add_argument("--no-wait", action="store_true", help="end when the job is in the queue")
        _add_waiting(one, 1800.0, "from running to the first answer (default: 1800)")
        if name == "serve":
            one.add_argument("--replace", action="store_true", help="cancel a job that was made from another script")
            one.add_argument("--print", action="store_true", help="print the job script that would run, and do nothing")
        _add_dry_run(one)
    batch = add("batch", "answer a file of requests (OpenAI's batch format)")
    batch.add_argument("model", metavar="MODEL")
    batch.add_argument("requests", metavar="REQUESTS.jsonl", help="readable for the service's user on all hosts")
    batch.add_argument("answers", nargs="?", metavar="ANSWERS.jsonl", help="default: in the folder outputs")
    batch.add_argument("--wait", action="store_true", help="show the progress, end with the job")
    _add_waiting(batch, 86400.0, "with --wait: from running to its end (default: 86400)")
    _add_dry_run(batch)
    stop = add("stop", "cancel the serving jobs of models and wait until they are gone")
    stop.add_argument("model", nargs="*", metavar="MODEL")
    stop.add_argument("--all", action="store_true", help="all models")
    _add_dry_run(stop)
    cancel = add("cancel", "cancel single jobs, batches too")
    cancel.add_argument("job_id", nargs="+", type=_count, metavar="JOB")
    _add_dry_run(cancel)


def _add_endpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--base-url",
        metavar="URL",
        help="a server's address (default: OPENAI_BASE_URL, else what the job recorded)",
    )
    parser.add_argument(
        "--api-key-file",
        metavar="FILE",
        help="a file with the key (default: the service's own; OPENAI_API_KEY for an address of yours)",
    )
    parser.add_argument("--timeout", type=_seconds, default=60.0, metavar="SECONDS", help="for silence (default: 60)")


def _add_talking(add: Add) -> None:
    chat = add("chat", "talk to a model, with the time to its first token and its tokens per second")
    chat.add_argument("model", nargs="?", metavar="MODEL", help="without one: the only one that runs")
    chat.add_argument("question", nargs="*", metavar="QUESTION", help="without one: standard input, or a conversation")
    chat.add_argument("--system", metavar="TEXT", help="what the model is told before")
    chat.add_argument("--max-tokens", type=_count, metavar="N", help="the longest answer")
    chat.add_argument("--temperature", type=float, metavar="T", help="0 for the likeliest words")
    _add_endpoint(chat)
    test = add("test", "check a model step by step, up to a real answer and its speed")
    test.add_argument("model", nargs="*", metavar="MODEL")
    test.add_argument("--all", action="store_true", help="all models that have a job script")
    _add_endpoint(test)


# Where words go that stand behind an option: argparse gives a list what comes in one piece alone.
_LISTS = {
    "chat": "question",
    "doctor": "target",
    "plan": "model",
    "restart": "model",
    "serve": "model",
    "status": "model",
    "stop": "model",
    "test": "model",
}


def parse(words: list[str]) -> argparse.Namespace:
    parser = build_parser()
    args, rest = parser.parse_known_args(words)
    place = _LISTS.get(args.command)
    if rest and (place is None or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest and place:
        setattr(args, place, [*getattr(args, place), *rest])
    return args
