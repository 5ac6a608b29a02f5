# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import http.client
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._hub import server as hub_server
from ansible_collections.llmops.cluster.tests.unit.hub_fixtures import (
    FILES,
    MAIN,
    OLD,
    REPO,
    WEIGHTS,
    Hub,
    etag_of,
    running_hub,
    write_repo,
)
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "served"
    write_repo(root, REPO, MAIN, FILES, refs=("main", "refs/pr/1"))
    write_repo(root, REPO, OLD, {"config.json": b"{}\n"}, refs=("v1",))
    return root


@pytest.fixture
def hub(root: Path) -> t.Iterator[Hub]:
    with running_hub(root) as hub:
        yield hub


def get(hub: Hub, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """A request as it stands: no client library in between that would tidy up the path."""
    connection = http.client.HTTPConnection(hub.url.removeprefix("http://"), timeout=10)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    reply = connection.getresponse()
    result = reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    connection.close()
    return result


@pytest.mark.parametrize(
    ("revision", "commit"), [("main", MAIN), ("v1", OLD), ("refs/pr/1", MAIN), (MAIN, MAIN), (OLD, OLD)]
)
def test_client_resolves_a_revision(hub: Hub, revision: str, commit: str) -> None:
    assert HfApi(endpoint=hub.url, token=False).model_info(REPO, revision=revision).sha == commit


def test_client_reads_sizes_and_hashes_in_one_call(hub: Hub) -> None:
    info = HfApi(endpoint=hub.url, token=False).model_info(REPO, files_metadata=True)
    found = {s.rfilename: (s.size, s.lfs.sha256 if s.lfs else s.blob_id) for s in info.siblings or []}
    assert found == {path: (len(content), etag_of(path, content)) for path, content in FILES.items()}
    assert len(hub.requests) == 1


def test_client_lists_the_tree(hub: Hub) -> None:
    tree = HfApi(endpoint=hub.url, token=False).list_repo_tree(REPO, recursive=True)
    assert {entry.path: getattr(entry, "size", None) for entry in tree} == {
        path: len(content) for path, content in FILES.items()
    }


def test_pointer_id_of_a_large_file_is_the_one_git_has(hub: Hub) -> None:
    file = hub.server.store.files(REPO, MAIN)["model.safetensors"]
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{file.etag}\nsize {file.size}\n".encode()
    assert file.oid == etag_of("pointer", pointer)


def test_client_downloads_a_snapshot(hub: Hub, tmp_path: Path) -> None:
    path = snapshot_download(REPO, endpoint=hub.url, cache_dir=tmp_path / "cache", token=False)
    assert {name: Path(path, name).read_bytes() for name in FILES} == FILES
    assert Path(path).name == MAIN
    assert hub.bytes_of_files() == sum(map(len, FILES.values()))


def test_connection_cut_half_way_is_resumed_by_range(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The client keeps what it received in whole chunks, of 10 MB by default.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 65536)

    class CutsOnce(hub_server.HubHandler):
        cut = False

        def stream(self, source: t.BinaryIO, left: int) -> None:
            if left > 1000 and not CutsOnce.cut:
                CutsOnce.cut = True
                self._write(source.read(left // 2))
                self.close_connection = True
                return
            super().stream(source, left)

    with running_hub(root, handler=CutsOnce) as hub:
        path = hf_hub_download(REPO, "model.safetensors", endpoint=hub.url, cache_dir=tmp_path / "cache", token=False)
        assert Path(path).read_bytes() == WEIGHTS
        assert CutsOnce.cut
        assert hub.bytes_of_files() == len(WEIGHTS)


@pytest.mark.parametrize(
    ("header", "status", "first", "end"),
    [
        pytest.param("bytes=0-0", 206, 0, 1, id="first-byte"),
        pytest.param("bytes=100-199", 206, 100, 200, id="middle"),
        pytest.param("bytes=100-", 206, 100, len(WEIGHTS), id="open-end"),
        pytest.param("bytes=-10", 206, len(WEIGHTS) - 10, len(WEIGHTS), id="last-ten"),
        pytest.param("bytes=0-99999999", 206, 0, len(WEIGHTS), id="end-beyond-file"),
        pytest.param("pages=1-2", 200, 0, len(WEIGHTS), id="unknown-unit-ignored"),
        pytest.param("bytes=-", 200, 0, len(WEIGHTS), id="empty-ignored"),
    ],
)
def test_ranges(hub: Hub, header: str, status: int, first: int, end: int) -> None:
    got, headers, body = get(hub, f"/{REPO}/resolve/main/model.safetensors", Range=header)
    assert (got, body == WEIGHTS[first:end]) == (status, True)
    assert headers["content-length"] == str(end - first)
    if status == 206:
        assert headers["content-range"] == f"bytes {first}-{end - 1}/{len(WEIGHTS)}"


def test_range_outside_the_file(hub: Hub) -> None:
    assert get(hub, f"/{REPO}/resolve/main/model.safetensors", Range="bytes=99999999-")[0] == 416


def test_head_tells_all_and_sends_nothing(hub: Hub) -> None:
    status, headers, body = get(hub, f"/{REPO}/resolve/main/model.safetensors", method="HEAD")
    assert (status, body) == (200, b"")
    assert headers["etag"] == f'"{etag_of("model.safetensors", WEIGHTS)}"'
    assert headers["x-repo-commit"] == MAIN
    assert headers["content-length"] == str(len(WEIGHTS))
    assert headers["accept-ranges"] == "bytes"
    assert "x-xet-hash" not in headers


@pytest.mark.parametrize(
    ("repo", "revision", "file", "error"),
    [
        pytest.param("org/other", "main", "config.json", RepositoryNotFoundError, id="repository"),
        pytest.param(REPO, "v9", "config.json", RevisionNotFoundError, id="branch"),
        pytest.param(REPO, "9" * 40, "config.json", RevisionNotFoundError, id="commit"),
        pytest.param(REPO, "main", "absent.json", RemoteEntryNotFoundError, id="file"),
    ],
)
def test_client_is_told_what_does_not_exist(
    hub: Hub, tmp_path: Path, repo: str, revision: str, file: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        hf_hub_download(repo, file, revision=revision, endpoint=hub.url, cache_dir=tmp_path, token=False)


def test_missing_repository_is_401_for_a_stranger_and_404_with_a_token(hub: Hub) -> None:
    assert get(hub, "/api/models/org/other")[0] == 401
    assert get(hub, "/api/models/org/other", Authorization="Bearer x")[0] == 404


@pytest.mark.parametrize(("token", "status"), [(False, 401), ("wrong", 403)])
def test_gated_files_are_refused(root: Path, tmp_path: Path, token: t.Any, status: int) -> None:
    with running_hub(root, gated={REPO: "right"}) as hub:
        with pytest.raises(GatedRepoError) as caught:
            hf_hub_download(REPO, "config.json", endpoint=hub.url, cache_dir=tmp_path, token=token)
        assert caught.value.response.status_code == status
        assert HfApi(endpoint=hub.url, token=False).model_info(REPO).gated == "manual"


def test_gated_files_are_given_to_whom_has_the_token(root: Path, tmp_path: Path) -> None:
    with running_hub(root, gated={REPO: "right"}) as hub:
        path = hf_hub_download(REPO, "config.json", endpoint=hub.url, cache_dir=tmp_path, token="right")
        assert Path(path).read_bytes() == FILES["config.json"]


@pytest.mark.parametrize("path", [f"/api/models/{REPO}", f"/{REPO}/resolve/main/config.json", "/"])
@pytest.mark.parametrize("header", ["", "Bearer wrong", "Basic peer-token"])
def test_peer_answers_nobody_without_its_token(root: Path, path: str, header: str) -> None:
    with running_hub(root, token="peer-token") as hub:
        assert get(hub, path, Authorization=header)[0] == 401


def test_peer_serves_with_its_token(root: Path, tmp_path: Path) -> None:
    with running_hub(root, token="peer-token") as hub:
        path = snapshot_download(REPO, revision=MAIN, endpoint=hub.url, cache_dir=tmp_path / "c", token="peer-token")
        assert Path(path, "model.safetensors").read_bytes() == WEIGHTS
        with pytest.raises(HfHubHTTPError):
            HfApi(endpoint=hub.url, token="wrong").model_info(REPO)


@pytest.mark.parametrize(
    "path",
    [
        f"/{REPO}/resolve/main/../../../../secret",
        f"/{REPO}/resolve/main/%2e%2e/%2e%2e/%2e%2e/%2e%2e/secret",
        f"/{REPO}/resolve/main//etc/passwd",
        f"/{REPO}/resolve/..%2f..%2f..%2fsecret/config.json",
        "/../served/resolve/main/secret",
        "/..%2f..%2fserved/resolve/main/secret",
        f"/{REPO}/resolve/main/outside",
        f"/{REPO}/resolve/main/plain",
        f"/{REPO}/resolve/main/notes",
    ],
)
def test_nothing_outside_the_blobs_is_served(root: Path, path: str) -> None:
    secret = root.parent / "secret"
    secret.write_text("canary")
    snapshot = root / "models--org--tiny" / "snapshots" / MAIN
    (snapshot / "outside").symlink_to(secret)
    (snapshot / "plain").write_text("canary")
    with running_hub(root) as hub:
        status, _headers, body = get(hub, path)
    assert status in (401, 404)
    assert b"canary" not in body


def test_header_injection_is_not_possible(hub: Hub) -> None:
    _status, headers, _body = get(hub, f"/api/models/{REPO}/revision/x%0d%0aX-Evil:%201")
    assert "x-evil" not in headers


def test_idle_time_does_not_pass_while_a_request_is_served(root: Path) -> None:
    now = [0.0]
    with hub_server.HubServer(("127.0.0.1", 0), root, clock=lambda: now[0]) as server:
        with server.activity():
            now[0] = 100.0
            assert server.idle_seconds() == 0.0
        now[0] = 130.0
        assert server.idle_seconds() == 30.0
        server.run_until_idle(30.0)


@pytest.mark.parametrize(("error", "told"), [(ConnectionResetError(104, "reset"), False), (KeyError("x"), True)])
def test_only_faults_of_our_own_are_told(
    root: Path, error: Exception, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with hub_server.HubServer(("127.0.0.1", 0), root) as server:
        try:
            raise error
        except type(error):
            server.handle_error(None, ("192.0.2.1", 1))
    assert ("Traceback" in capsys.readouterr().err) is told


@pytest.mark.parametrize("text", ["[]", "{", '{"org/name": "token"}', '{"org/name": {}}'])
def test_bad_gated_file(text: str) -> None:
    with pytest.raises(SystemExit) as caught:
        hub_server.parse_gated(text)
    expected = 'Reading the gated repositories failed: it must be {"org/name": {"token": "..."}}.'
    assert str(caught.value) == expected


def test_runs_as_a_plain_script(root: Path, tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_bytes(Path(t.cast(str, hub_server.__file__)).read_bytes())
    token = tmp_path / "token"
    token.write_text("t0ken\n")
    log = tmp_path / "access.jsonl"
    command = [sys.executable, "-I", str(script), "--root", str(root), "--port", "0", "--token-file", str(token)]
    command += ["--access-log", str(log), "--idle-exit", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(f"serving {root} on http://127.0.0.1:")
    assert log.exists()


def test_empty_token_file_is_refused(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = tmp_path / "token"
    token.write_text("\n")
    with pytest.raises(SystemExit):
        hub_server.main(["--root", str(root), "--port", "0", "--token-file", str(token)])
    assert "an empty token would let everybody in" in capsys.readouterr().err
