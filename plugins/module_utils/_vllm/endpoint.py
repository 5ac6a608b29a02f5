# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the engine of a job listens: what the running job has recorded, believed only when Slurm says the same."""

from __future__ import annotations

import calendar
import contextlib
import json
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.llmops.cluster.plugins.module_utils._vllm.address import base_url
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.classify import JobSeen, Verdict
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.client import Client
from ansible_collections.llmops.cluster.plugins.module_utils._vllm.errors import HealthError

# The job's node writes one clock, Slurm's controller the other; munge works as long as they are this near.
CLOCK_SKEW = 300.0
LONGEST_RECORD = 65536
# A job writes its record when it has its port, seconds after its start. Before that the port known by heart may be
# somebody else's; after it this host does not see the folder of the jobs.
RECORD_SECONDS = 30.0


@dataclass(frozen=True)
class Record:
    """What a job script says of the server that it starts. `started`: when, seconds since 1970."""

    job_id: int
    host: str
    port: int
    started: int
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """A server to be asked. `job_started` is known where Slurm led us there; `model`: its name, where recorded."""

    url: str
    client: Client
    model: str | None = None
    job_started: int | None = None


Locate = Callable[[JobSeen], "Place | Verdict"]


def fixed(url: str, client: Client) -> Locate:
    """The place that the user gave: it may be a gateway, so nothing is concluded from what Slurm says of the job."""
    place = Place(url, client)
    return lambda _job: place


def parse_record(text: str) -> Record | None:
    """None when the text is no record."""
    try:
        value = json.loads(text)
        host, models = value["host"], value.get("models") or []
        record = Record(
            job_id=int(value["job_id"]),
            host=host,
            port=int(value["port"]),
            started=calendar.timegm(time.strptime(value["started"], "%Y-%m-%dT%H:%M:%SZ")),
            models=tuple(name for name in models if isinstance(name, str)),
        )
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return None
    return record if isinstance(host, str) and 0 < record.port < 65536 else None


def record_problem(record: Record, job_id: int, job: JobSeen) -> str | None:
    """Why this is not the record of the run that Slurm tells of, or None."""
    if record.job_id != job_id:
        return f"the record is that of job {record.job_id}"
    if record.host != job.host:
        return f"the record is still that of its run on {record.host}"
    if job.started is not None and record.started < job.started - CLOCK_SKEW:
        return f"the record is still that of its run from {_moment(record.started)}"
    return None


class JobPlaces:
    """The place of a job's engine, found anew at each look: a requeue moves it to another node."""

    def __init__(
        self,
        job_id: int,
        directory: str,
        port: int | None,
        connect: Callable[[str], Client],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._job_id = job_id
        self._now = now
        self._path = os.path.join(directory, f"{job_id}.json")
        self._directory = directory
        self._port = port
        self._connect = connect
        self._place: Place | None = None
        self._run: tuple[str, int | None] | None = None

    def check(self) -> None:
        """Whether this host can see records at all. Before the wait: a queue may take hours."""
        if self._port is not None:
            return
        try:
            os.listdir(self._directory)
        except OSError as error:
            raise HealthError(
                message=(
                    f"Reading the endpoint of job {self._job_id} from {self._directory} failed: {error.strerror}. "
                    "Set endpoints_dir to the folder of the job scripts' records, run this task on a host and as a "
                    "user that may read it, or set port, url or host."
                )
            ) from error

    def __call__(self, job: JobSeen) -> Place | Verdict:
        if job.phase == "unknown" or not job.host:
            # Where the engine was is where it most likely is; before that, nobody knows.
            return self._place or Verdict("unreachable", "job", job.detail or "Slurm does not say where the job runs")
        if self._run != (job.host, job.started):
            self._run, self._place = (job.host, job.started), None
        record, problem = self._record(job)
        if record is None and self._place:
            # The same run, whose record somebody has taken away: the engine has not moved.
            return self._place
        port = record.port if record else self._port_by_heart(job)
        if port is None:
            return Verdict("starting", "job", f"job {self._job_id} runs on {job.host}, but {problem}")
        url = base_url(None, job.host, port)
        model = record.models[0] if record and record.models else None
        if self._place is None or (self._place.url, self._place.model) != (url, model):
            self._place = Place(url, self._connect(url), model, job.started)
        return self._place

    def _port_by_heart(self, job: JobSeen) -> int | None:
        """The port that was given, once this host would have seen a record if it could."""
        young = job.started is not None and self._now() < job.started + RECORD_SECONDS
        return None if young else self._port

    def _record(self, job: JobSeen) -> tuple[Record | None, str]:
        text = read_small(self._path)
        if text is None:
            return None, f"it has not recorded its endpoint in {self._path} yet"
        record = parse_record(text)
        if record is None:
            return None, f"{self._path} is no record of an endpoint"
        problem = record_problem(record, self._job_id, job)
        return (None, problem) if problem else (record, "")


def read_small(path: str) -> str | None:
    """A small regular file, or None. The folder belongs to the jobs' user: no link, pipe or device of theirs counts."""
    with contextlib.suppress(OSError):
        # Opening the folder makes NFS ask its server whether a new file has come.
        os.listdir(os.path.dirname(path))
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        return os.read(handle, LONGEST_RECORD).decode("utf-8", errors="replace")
    except OSError:
        return None
    finally:
        os.close(handle)


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
