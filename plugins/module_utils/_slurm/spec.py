# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job shall be: checked, in one canonical form, with the key that follows from it. Pure."""

from __future__ import annotations

import hashlib
import json
import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import SpecError

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COMMENT_PREFIX = "llmops"
KEY_LENGTH = 16

# No colon (it parts the comment), no comma and no space (squeue's lists), no slash (log file names), no leading dash.
_NAME = r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}"
_OPTION = r"[a-z][a-z0-9-]+"
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
_COMMENT = rf"{COMMENT_PREFIX}:(?P<name>[^:\s]+):(?P<key>[0-9a-f]{{{KEY_LENGTH}}})"
_COMMENT_OPTION = rf"(?:^|\s)--comment[= ]({COMMENT_PREFIX}:[^:\s]+:[0-9a-f]{{{KEY_LENGTH}}})(?!\S)"

# Options that slurm_job itself gives, each with what to use instead.
RESERVED_OPTIONS: dict[str, str] = {
    "chdir": "use the option chdir of the module",
    "clusters": "the job is looked for on this host's own cluster only",
    "comment": "it carries the job's key",
    "export": "use the option environment of the module",
    "export-file": "use the option environment of the module",
    "gid": "use the option user of the module",
    "help": "it submits nothing",
    "job-name": "use the option name of the module",
    "parsable": "it is always given",
    "test-only": "use check mode",
    "uid": "use the option user of the module",
    "usage": "it submits nothing",
    "version": "it submits nothing",
    "wait": "use state=completed",
    "wrap": "use the option script_content of the module",
}

# Of these, the ones that a #SBATCH line could still set: the others are overruled by what the module gives to sbatch.
_RESERVED_LINES = {"clusters": "-M", "test-only": "", "wait": "-W"}

# Slurm gives these a value of its own in every job, whatever was exported to it.
SET_BY_SLURM = frozenset(
    {"CUDA_VISIBLE_DEVICES", "ENVIRONMENT", "GPU_DEVICE_ORDINAL", "HOME", "HOSTNAME", "LOGNAME", "USER"}
)
# Linux's limit for one argument or variable (128 KiB with its NUL), and a little less than that for all of them
# together (a quarter of the usual stack of 8 MiB, pointers included).
LONGEST_WORD = 131071
MOST_BYTES = 1_800_000


@dataclass(frozen=True)
class JobSpec:
    """One job, checked. `options` are arguments of sbatch already, in a stable order."""

    name: str
    user: str
    script: str
    script_path: str | None
    chdir: str
    args: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict, repr=False)

    def key(self, cluster: str) -> str:
        """Short hash of everything that makes the job what it is.

        A script's path is no part of it: the same text at another place is the same job.
        """
        canonical = {
            "cluster": cluster,
            "user": self.user,
            "name": self.name,
            "script": self.script,
            "args": list(self.args),
            "options": list(self.options),
            "environment": {name: _sha256(value) for name, value in self.environment.items()},
            "chdir": self.chdir,
        }
        return _sha256(json.dumps(canonical, sort_keys=True, ensure_ascii=True))[:KEY_LENGTH]

    @property
    def is_array(self) -> bool:
        return any(option.startswith("--array=") for option in self.options)

    def comment(self, key: str) -> str:
        return f"{COMMENT_PREFIX}:{self.name}:{key}"


def parse_comment(text: str) -> tuple[str, str] | None:
    """Name and key of a comment that this collection wrote, else None."""
    match = re.fullmatch(_COMMENT, text)
    return (match["name"], match["key"]) if match else None


def find_comment(text: str) -> str:
    """The comment of ours that a submit line gives as --comment, else an empty string."""
    match = re.search(_COMMENT_OPTION, text)
    return match.group(1) if match else ""


def build_spec(
    *,
    name: str,
    user: str,
    script: str,
    script_path: str | None,
    chdir: str,
    args: Sequence[t.Any] = (),
    options: Mapping[str, t.Any] | None = None,
    environment: Mapping[str, t.Any] | None = None,
) -> JobSpec:
    """Check every part and put it together, or raise SpecError naming the part, its value and what is allowed."""
    spec = JobSpec(
        name=check_name(name),
        user=user,
        script=_check_script(script),
        script_path=script_path,
        chdir=_check_directory(chdir),
        args=tuple(_check_text(f"args[{index}]", value) for index, value in enumerate(args)),
        options=option_arguments(options or {}),
        environment=check_environment(environment or {}),
    )
    _check_size(spec)
    return spec


def check_name(name: str) -> str:
    if not re.fullmatch(_NAME, name):
        raise SpecError(
            f"name {name!r} cannot be the name of a job. Allowed are 1 to 128 letters, digits and . _ + -, "
            "not beginning with . + or -."
        )
    return name


def option_arguments(options: Mapping[str, t.Any]) -> tuple[str, ...]:
    """The dictionary of sbatch options as arguments, sorted by name so that their order in a file means nothing."""
    arguments: list[str] = []
    for name in sorted(options, key=str):
        if not isinstance(name, str) or not re.fullmatch(_OPTION, name):
            raise SpecError(f"options: {name!r} is not an option of sbatch. Use its long name without the dashes.")
        # sbatch takes the beginning of a long name for the whole: `comm` would set the comment.
        reserved = next((word for word in RESERVED_OPTIONS if word.startswith(name)), None)
        if reserved:
            short = "" if reserved == name else f" (short for {reserved})"
            raise SpecError(f"options.{name}{short} cannot be set here: {RESERVED_OPTIONS[reserved]}.")
        arguments.extend(_one_option(name, options[name]))
    return tuple(arguments)


def _one_option(name: str, value: t.Any) -> list[str]:
    if value is None or value is False:
        return []
    if value is True:
        return [f"--{name}"]
    if isinstance(value, (list, tuple)):
        return [f"--{name}={_check_text(f'options.{name}', item)}" for item in value]
    return [f"--{name}={_check_text(f'options.{name}', value)}"]


def check_environment(environment: Mapping[str, t.Any]) -> dict[str, str]:
    checked: dict[str, str] = {}
    for name in sorted(environment, key=str):
        if not isinstance(name, str) or not re.fullmatch(_VARIABLE, name):
            raise SpecError(f"environment: {name!r} cannot be the name of a variable.")
        if name.startswith(("SLURM_", "SBATCH_")):
            raise SpecError(f"environment.{name} would steer sbatch itself. Use options for what sbatch shall do.")
        if name in SET_BY_SLURM or name.startswith("SLURMD_"):
            raise SpecError(f"environment.{name} would not reach the job: Slurm sets it itself. Set it in the script.")
        # The value itself stays out of the message: it may be a secret.
        checked[name] = _check_text(f"environment.{name}", environment[name], show=False)
    return checked


def odd_time_options(options: Mapping[str, t.Any]) -> list[str]:
    """Warnings for times that YAML has probably turned into another number."""
    return [
        f"options.{name} is the number {value}, which Slurm takes as {value} minutes. "
        "YAML reads an unquoted 1:00:00 as 3600: put quotes around times."
        for name, value in sorted(options.items())
        if name in {"time", "time-min"} and isinstance(value, int) and not isinstance(value, bool) and value > 59
    ]


def _check_text(what: str, value: t.Any, *, show: bool = True) -> str:
    shown = f" {value!r}" if show else ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        kind = {bool: "a boolean", type(None): "empty", dict: "a dictionary", list: "a list"}.get(
            type(value), "no text"
        )
        raise SpecError(
            f"{what}{shown} is {kind}. Give text or a number; quote what YAML would read as something else."
        )
    text = str(value)
    if "\0" in text:
        raise SpecError(f"{what} holds a NUL character, which no argument and no variable can carry.")
    _check_encodable(what, text)
    return text


def _check_size(spec: JobSpec) -> None:
    """A program that is given too much is not started at all, and says no more than that."""
    words = {f"args[{index}]": word for index, word in enumerate(spec.args)}
    words |= {f"options.{word[2:].partition('=')[0]}": word for word in spec.options}
    words |= {f"environment.{name}": f"{name}={value}" for name, value in spec.environment.items()}
    sizes = {what: len(word.encode("utf-8", errors="surrogateescape")) for what, word in words.items()}
    for what, size in sizes.items():
        if size > LONGEST_WORD:
            raise SpecError(
                f"{what} is {size} bytes long, and a program takes {LONGEST_WORD} at most. "
                "Write it to a file that the script reads."
            )
    total = sum(size + 9 for size in sizes.values())
    if total > MOST_BYTES:
        raise SpecError(
            f"args, options and environment are {total} bytes together, and a program takes {MOST_BYTES} at most. "
            "Write them to a file that the script reads."
        )


def _check_encodable(what: str, text: str) -> None:
    try:
        text.encode("utf-8", errors="surrogateescape")
    except UnicodeEncodeError as error:
        raise SpecError(
            f"{what} holds half a character (U+{ord(text[error.start]):04X}), which is no text in UTF-8. Leave it out."
        ) from error


def _check_script(script: str) -> str:
    if not script.startswith("#!"):
        first = script.splitlines()[0][:60] if script.strip() else "(empty)"
        raise SpecError(f"The script must begin with #! and an interpreter; its first line is {first!r}.")
    if "\r\n" in script:
        raise SpecError("The script has DOS line ends (CR LF), which sbatch refuses. Write it with LF alone.")
    if "\0" in script:
        raise SpecError("The script holds a NUL character: it is no text.")
    _check_encodable("The script", script)
    _check_directives(script)
    return script


def _check_directives(script: str) -> None:
    for line in script.splitlines():
        # sbatch reads no further than to the first command.
        if line.strip() and not line.startswith("#"):
            return
        words = line.split()
        given = {word.partition("=")[0] for word in words[1:]} if words[:1] == ["#SBATCH"] else set()
        for name, short in _RESERVED_LINES.items():
            if given & {f"--{name}", short or f"--{name}"}:
                raise SpecError(f"The script's line {line[:60]!r} cannot stand there: {RESERVED_OPTIONS[name]}.")


def _check_directory(path: str) -> str:
    if not path.startswith("/"):
        raise SpecError(f"chdir {path!r} is not an absolute path.")
    return _check_text("chdir", path)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", errors="surrogateescape")).hexdigest()
