"""What must hold of jobs whatever names, arguments, variables and comments hold. The real Slurm's part of it is in
tests/integration/slurm_job."""

from __future__ import annotations

import contextlib
import json
import math
import os
import posixpath
import string
from typing import Any

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._slurm import command, describe, mask, parse, parse_text
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.errors import SpecError
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.job import expand_path
from ansible_collections.llmops.cluster.plugins.module_utils._slurm.spec import (
    RESERVED_OPTIONS,
    JobSpec,
    build_spec,
    check_name,
    find_comment,
    option_arguments,
    parse_comment,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.awkward import PIECES

# As many examples a property as a run of all tests has time for; LLMOPS_EXAMPLES=1000 for a thorough look.
EXAMPLES = int(os.environ.get("LLMOPS_EXAMPLES", "200"))
settings.register_profile("llmops", max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
settings.load_profile("llmops")

TOOLS = command.Tools(sbatch="/b/sbatch", squeue="/b/squeue", scontrol="/b/scontrol", scancel="/b/scancel")
KEY = "0123456789abcdef"
# Text that a process can be given: any character but NUL and halves of characters.
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXT = st.one_of(
    st.text(CHARACTERS, max_size=40),
    st.sampled_from(PIECES),
    st.lists(st.sampled_from(PIECES), min_size=2, max_size=4).map("".join),
)
LETTERS = string.ascii_letters + string.digits
NAMES = st.tuples(st.sampled_from(LETTERS + "_"), st.text(LETTERS + "._+-", max_size=20)).map("".join)
VARIABLES = st.tuples(st.sampled_from("abVZ_"), st.text(LETTERS + "_", max_size=9)).map("".join)
OPTIONS = st.sampled_from(
    ["account", "begin", "constraint", "gres", "mem", "nodes", "output", "partition", "time", "wckey"]
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | st.sampled_from(["number", "set"]), inner),
    max_leaves=6,
)
SPECS = st.builds(
    build_spec,
    name=NAMES,
    user=st.sampled_from(["vllm", "root"]),
    script=TEXT.map(lambda text: f"#!/bin/sh\n{text}".replace("\r\n", "\n")),
    script_path=st.none(),
    chdir=TEXT.map(lambda text: f"/{text}"),
    args=st.lists(TEXT, max_size=4),
    options=st.dictionaries(OPTIONS, TEXT | st.booleans() | st.integers() | st.lists(TEXT, max_size=2), max_size=3),
    environment=st.dictionaries(VARIABLES, TEXT | st.integers(), max_size=3),
)


@given(SPECS)
def test_sbatch_gets_what_was_given_and_nothing_else(spec: JobSpec) -> None:
    argv = command.sbatch(TOOLS, spec, spec.comment(KEY), "/srv/job.sh")
    # sbatch takes the first word that is no option for the script, and all after it for the script's own.
    place = next(index for index, word in enumerate(argv[1:], start=1) if not word.startswith("-"))
    assert (argv[place], tuple(argv[place + 1 :])) == ("/srv/job.sh", spec.args)
    given_options = argv[1:place]
    ours = ["--parsable", f"--job-name={spec.name}", f"--comment={spec.comment(KEY)}", f"--chdir={spec.chdir}"]
    assert given_options == [*ours, "--export=ALL", *spec.options]
    names = [word[2:].partition("=")[0] for word in given_options]
    for reserved in ("job-name", "comment", "chdir", "export"):
        # getopt takes the beginning of a name for the whole, and the last one wins.
        assert [name for name in names if reserved.startswith(name)] == [reserved]


@given(st.dictionaries(st.sampled_from(sorted(RESERVED_OPTIONS)), st.integers(1, 20), min_size=1, max_size=1))
def test_a_reserved_option_is_refused_however_short(cut: dict[str, int]) -> None:
    ((name, length),) = cut.items()
    short = name[: max(2, length)]
    with pytest.raises(SpecError, match="cannot be set here"):
        option_arguments({short: "x"})


@given(SPECS, st.randoms(use_true_random=False))
def test_the_same_job_has_the_same_key(spec: JobSpec, chance: Any) -> None:
    names = list(spec.environment)
    chance.shuffle(names)
    again = JobSpec(
        **{**vars(spec), "script_path": "/x", "environment": {name: spec.environment[name] for name in names}}
    )
    assert again.key("lab") == spec.key("lab")


@given(st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=4), st.booleans())
def test_another_job_has_another_key(one: list[str], other: list[str], as_arguments: bool) -> None:
    def key(words: list[str]) -> str:
        more: dict[str, Any] = (
            {"args": words} if as_arguments else {"environment": {f"V{i}": w for i, w in enumerate(words)}}
        )
        return build_spec(name="a", user="b", script="#!", script_path=None, chdir="/", **more).key("lab")

    assert (key(one) == key(other)) == (one == other)


@given(SPECS, SPECS)
def test_two_jobs_share_a_key_only_if_they_are_the_same(one: JobSpec, other: JobSpec) -> None:
    assert (one.key("lab") == other.key("lab")) == (one == other)


@given(TEXT)
def test_words_do_not_move_from_one_part_to_another(text: str) -> None:
    common: dict[str, Any] = {"name": "a", "user": "b", "script": "#!", "script_path": None, "chdir": "/"}
    keys = {
        build_spec(**common, args=[text]).key("lab"),
        build_spec(**common, args=["x", text]).key("lab"),
        build_spec(**common, args=[text, "x"]).key("lab"),
        build_spec(**common, args=[f"x{text}"]).key("lab"),
        build_spec(**common, args=[f"{text}x"]).key("lab"),
        build_spec(**common, options={"qos": text}).key("lab"),
        build_spec(**common, environment={"qos": text}).key("lab"),
        build_spec(**{**common, "chdir": f"/{text}y"}).key("lab"),
    }
    # An empty or an "x" text may make two of these the same arguments, in another order.
    assume(set(text) - {"x"})
    assert len(keys) == 8


@given(st.one_of(TEXT, st.text(max_size=12), st.integers(), st.none(), st.lists(TEXT, max_size=2)))
def test_a_name_is_safe_or_refused(name: Any) -> None:
    if not isinstance(name, str):
        return
    try:
        check_name(name)
    except SpecError:
        return
    assert set(name) <= set(string.ascii_letters + string.digits + "._+-")
    assert name[0] not in ".+-"
    assert parse_comment(f"llmops:{name}:{KEY}") == (name, KEY)


@given(SPECS)
def test_a_comment_and_back(spec: JobSpec) -> None:
    key = spec.key("lab")
    assert parse_comment(spec.comment(key)) == (spec.name, key)
    line = " ".join(["sbatch", *command.sbatch(TOOLS, spec, spec.comment(key), "/srv/job.sh")[1:]])
    assert find_comment(line) == spec.comment(key)


@given(TEXT)
def test_only_our_own_comments_are_ours(text: str) -> None:
    ours = parse_comment(text)
    if ours:
        assert text == f"llmops:{ours[0]}:{ours[1]}"
    assert find_comment(f"sbatch --job-name=rec /srv/job.sh {text.replace('--comment', '')}") == ""


@given(st.dictionaries(st.one_of(TEXT, st.integers()), ANY_JSON, max_size=3), st.lists(ANY_JSON, max_size=3))
def test_what_cannot_be_a_job_is_refused_in_words(options: dict[Any, Any], args: list[Any]) -> None:
    try:
        spec = build_spec(name="a", user="b", script="#!", script_path=None, chdir="/", args=args, options=options)
    except SpecError:
        return
    assert all(isinstance(word, str) and "\0" not in word for word in [*spec.args, *spec.options])
    assert all(word.startswith("--") for word in spec.options)


@pytest.mark.parametrize("part", ["args", "options", "environment", "script", "chdir"])
def test_half_a_character_is_refused(part: str) -> None:
    half = "a\ud83d"
    given_parts: dict[str, Any] = {
        "args": [half],
        "options": {"qos": half},
        "environment": {"A": half},
        "script": f"#!{half}",
        "chdir": f"/{half}",
    }
    parts = {"script": "#!", "chdir": "/", part: given_parts[part]}
    with pytest.raises(SpecError, match=r"holds half a character \(U\+D83D\), which is no text in UTF-8"):
        build_spec(name="a", user="b", script_path=None, **parts)


RECORDS = st.lists(
    st.fixed_dictionaries(
        {"name": TEXT, "comment": TEXT, "reason": TEXT, "chdir": TEXT, "submit_line": TEXT, "state": st.just("RUNNING")}
    ),
    max_size=4,
)


def as_text(fields: dict[str, str], records: list[dict[str, str]]) -> str:
    lines = []
    for number, record in enumerate(records, start=1):
        values = {**record, "job_id": str(number), "shown_id": str(number), "user": "vllm", "exit_code": "0:0"}
        lines.append(command.SEPARATOR.join(values.get(name, "") for name in fields) + "\n")
    return "".join(lines)


@given(RECORDS)
def test_squeue_text_has_as_many_jobs_as_there_are(records: list[dict[str, str]]) -> None:
    jobs = parse_text.jobs_from_squeue(as_text(command.SQUEUE_FIELDS, records))
    assert [(job.job_id, job.user, job.state, job.name) for job in jobs] == [
        (number, "vllm", "RUNNING", record["name"]) for number, record in enumerate(records, start=1)
    ]
    for job, record in zip(jobs, records, strict=True):
        assert job.comment in (record["comment"], "")


@given(RECORDS)
def test_sacct_text_has_as_many_jobs_as_there_are(records: list[dict[str, str]]) -> None:
    jobs = parse_text.jobs_from_sacct(as_text(command.SACCT_FIELDS, records))
    assert [(job.job_id, job.user, job.name, job.chdir, job.submit_line) for job in jobs] == [
        (number, "vllm", record["name"], record["chdir"], record["submit_line"])
        for number, record in enumerate(records, start=1)
    ]


@given(NAMES, TEXT, TEXT, TEXT, TEXT)
def test_scontrol_text_is_not_moved_by_words(name: str, words: str, chdir: str, out: str, submit_line: str) -> None:
    chdir = f"/{chdir}"
    assume(not any(mark in chdir for mark in (" Comment=", " StdErr=", " WorkDir=", "\nJobId=")))
    assume("\nJobId=" not in words + out + submit_line)
    text = (
        f"JobId=7 JobName={name} UserId=vllm(403) GroupId=vllm(403) MCS_label=N/A JobState=RUNNING Reason=None "
        f"ExitCode=0:0 SubmitTime=5 NodeList=gpu1 BatchHost=gpu1 Command=/s.sh {words} SubmitLine=sbatch {submit_line} "
        f"WorkDir={chdir} Comment=llmops:{name}:{KEY} StdErr= StdIn=/dev/null StdOut=/{out}\n"
    )
    (job,) = parse_text.jobs_from_scontrol(text)
    assert (job.job_id, job.name, job.user, job.state, job.exit_code) == (7, name, "vllm", "RUNNING", None)
    assert (job.batch_host, job.submit_time, job.nodes) == ("gpu1", 5, "gpu1")
    assume(not any(mark in out for mark in (" WorkDir=", " Comment=")))
    assert (job.owner, job.key) == (name, KEY)
    assert job.chdir == chdir.rstrip("\n")


FIELDS = [
    *("job_id", "name", "user_name", "user", "job_state", "state", "state_reason", "state_description", "comment"),
    *("nodes", "batch_host", "submit_time", "start_time", "end_time", "time", "exit_code", "standard_output"),
    *("stdout_expanded", "standard_error", "current_working_directory", "working_directory", "submit_line", "array"),
    *("array_job_id", "het_job_id", "het"),
]


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), ANY_JSON, max_size=6) | ANY_JSON, max_size=3), ANY_JSON)
def test_json_of_any_shape_is_jobs_or_no_answer(jobs: list[Any], errors: Any) -> None:
    text = json.dumps({"jobs": jobs, "errors": errors})
    try:
        found = parse.jobs_from_json(text)
    except parse.ParseError:
        return
    for job in found:
        facts = job.facts()
        json.dumps(facts)
        assert isinstance(job.live, bool)
        assert all(
            facts[name] is None or isinstance(facts[name], int) for name in ("submit_time", "exit_code", "signal")
        )


@given(ANY_JSON | st.binary(max_size=40).map(lambda raw: raw.decode("latin-1")))
def test_any_answer_is_jobs_or_no_answer(answer: Any) -> None:
    for text in (json.dumps(answer), str(answer)):
        with contextlib.suppress(parse.ParseError):
            parse.jobs_from_json(text)
        assert parse_text.jobs_from_squeue(text) == []
        parse_text.jobs_from_scontrol(text)
        parse.submitted_job_id(text)


@given(TEXT, TEXT, st.lists(TEXT, max_size=2))
def test_json_keeps_words_as_they_are(name: str, comment: str, state: list[str]) -> None:
    raw = {"job_id": 1, "name": name, "comment": comment, "job_state": ["RUNNING", *state]}
    (job,) = parse.jobs_from_json(json.dumps({"jobs": [raw]}))
    assert (job.name, job.comment) == (name, comment)


@given(st.floats())
def test_numbers_of_json(number: float) -> None:
    (job,) = parse.jobs_from_json(json.dumps({"jobs": [{"job_id": number}]}))
    assert job.job_id == (int(number) if math.isfinite(number) else 0)


SECRETS = st.text(CHARACTERS, min_size=mask.SHORTEST_SECRET, max_size=30).filter(lambda text: "*" not in text)


@given(st.lists(st.tuples(SECRETS, TEXT), min_size=1, max_size=4))
def test_no_secret_is_left(parts: list[tuple[str, str]]) -> None:
    environment = {f"API_KEY_{index}": secret for index, (secret, _text) in enumerate(parts)}
    secrets = mask.secret_values(environment)
    text = "".join(text + secret for secret, text in parts)
    shown = mask.mask(text, secrets)
    assert not [secret for secret in secrets if secret in shown]
    for word in mask.mask_argv([text, *environment.values()], secrets):
        assert not [secret for secret in secrets if secret in word]


@given(TEXT, st.sampled_from(["--api-key", "--hf-token", "--password"]), st.text(string.ascii_letters, min_size=8))
def test_the_value_of_a_secret_option_is_hidden(text: str, option: str, value: str) -> None:
    assume(value not in text)
    for argv in ([text, option, value], [text, f"{option}={value}"]):
        assert value not in " ".join(mask.mask_argv(argv))


@given(TEXT)
def test_masked_text_is_masked(text: str) -> None:
    once = mask.mask(text)
    assert mask.mask(once) == once


@given(TEXT, TEXT)
def test_an_escaped_path_comes_back(path: str, chdir: str) -> None:
    assume("\\" not in path and path)
    told: dict[str, Any] = {"job_id": 7, "name": "a", "user": "b", "batch_host": "gpu1", "chdir": f"/{chdir}"}
    plain = posixpath.normpath(posixpath.join(f"/{chdir}", path))
    assert expand_path(path.replace("%", "%%"), **told) == plain
    assert expand_path(path, patterns=False, **told) == plain


@given(SPECS)
def test_a_submit_line_is_shown_whatever_it_holds(spec: JobSpec) -> None:
    line = " ".join(command.sbatch(TOOLS, spec, spec.comment(KEY), "/srv/job.sh"))
    live = describe.live_parts(spec.chdir, line, spec.script)
    describe.as_diff(describe.compare_live(live, describe.wanted_parts(spec)), "live", "wanted")
