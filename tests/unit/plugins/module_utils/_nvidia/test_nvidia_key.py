# Copyright: llmops.cluster maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fingerprint of a key; the key was made for this with GnuPG 2.2, which says the same of it."""

from __future__ import annotations

import base64

import pytest
from ansible_collections.llmops.cluster.plugins.module_utils._nvidia.errors import NvidiaError
from ansible_collections.llmops.cluster.plugins.module_utils._nvidia.key import key_faults, key_fingerprints, plain

KEY = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mQENBGsBq9EBCACYsMVRMHK/nR+rvZ6yqobw0dDBMRsuAFu4ZcHWgmjRJG7jjSIx
Ro7jWQHSXRXrN0vVinr9Q9ycJS0uwz4mCdvvPXbAn+0WBj97jt+D+ZtX8z9eyPAP
s9CmJEAua6q8YKymDkV17lgMmoIcBlinwVIAWIzb8c9Div9FO+No7fiXWsHOU6Tk
Af7preiJCTFpnSXjWb1pXoknSEpZOvahlFWHl40tWP/KbClTafYaJEK08DihFPQh
ybxdn74tEKOHCNFJKiphM4NVtiXpKlmMFs7vykU8UaJNaM0mVaZeVNRMM2pSssk/
ErWr637I1j1xoNJzpOsChDFz+5u9xZevsfjzABEBAAG0H1N0YW5kLWluIDxzdGFu
ZC1pbkBleGFtcGxlLm9yZz6JAU4EEwEKADgWIQTHfTy/L3lLEXxZTceVpR1ZqXA5
dgUCawGr0QIbAwULCQgHAgYVCgkICwIEFgIDAQIeAQIXgAAKCRCVpR1ZqXA5dk0B
B/9yk0ltkxQ21bE5d+Fb/olqDC8T68RM3CHiW7oN9cp+SM6ETgOITWEQQLgtzgF2
f/0fAzxRe9IZCrgcs/ncnLBRoSABqox9XN8FGsxPHqs2JWMMuZ+HcyUERQOmgs89
pwc3V8AWhCy3Ipi5b58TGAQxf6jC6gfCeoCLfpcLAJIAbg05WOaaALSWjuT6LAlH
zFSQ0h3zRw6LI//YqKFW29MhbON/e6D5jEs7t/WS11Mj04kr1iJuJoZpoRBb3wgm
2WElxNAHe1XoxTaXHfgB+vYUKkWCN34AyLhNkp/+qu4aj82QXut5a0488e+ynFoq
2rBsXclPK/wDoiMvWHPIoaF5
=ijNm
-----END PGP PUBLIC KEY BLOCK-----
"""
FINGERPRINT = "C77D3CBF2F794B117C594DC795A51D59A9703976"


def armoured(packets: bytes) -> str:
    body = base64.b64encode(packets).decode()
    return f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{body}\n=AAAA\n-----END PGP PUBLIC KEY BLOCK-----\n"


def packets_of(text: str) -> bytes:
    lines = text.splitlines()
    return base64.b64decode("".join(lines[2:-2]))


@pytest.mark.parametrize(
    ("text", "fingerprints"),
    [
        pytest.param(KEY, [FINGERPRINT], id="one"),
        pytest.param(KEY.replace("\n", "\r\n"), [FINGERPRINT], id="of-another-system"),
        pytest.param(
            KEY.replace("BLOCK-----\n", "BLOCK-----\nVersion: GnuPG v1\n", 1), [FINGERPRINT], id="with-a-header"
        ),
        pytest.param(KEY + KEY, [FINGERPRINT, FINGERPRINT], id="two-blocks"),
        pytest.param(armoured(packets_of(KEY) * 2), [FINGERPRINT, FINGERPRINT], id="two-in-a-block"),
    ],
)
def test_fingerprints(text: str, fingerprints: list[str]) -> None:
    assert key_fingerprints(text) == fingerprints


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "<html>404</html>",
            "Reading an OpenPGP key failed: no PUBLIC KEY BLOCK in what begins with '<html>404</html>'. Is the address "
            "right?",
            id="a-page",
        ),
        pytest.param(
            "",
            "Reading an OpenPGP key failed: no PUBLIC KEY BLOCK in what begins with ''. Is the address right?",
            id="nothing",
        ),
        pytest.param(
            armoured(b"\x01\x02\x03"),
            "Reading an OpenPGP key failed: what it holds is no packet. Get the key again.",
            id="no-packet",
        ),
        pytest.param(
            armoured(b"\x9b\x02\x03"),
            "Reading an OpenPGP key failed: a packet has no length. Get the key again.",
            id="no-length",
        ),
        pytest.param(
            armoured(b"\xc6\xe1\x03"),
            "Reading an OpenPGP key failed: it is in parts, which keys never are. Get the key again.",
            id="in-parts",
        ),
    ],
)
def test_no_key(text: str, message: str) -> None:
    with pytest.raises(NvidiaError) as caught:
        key_fingerprints(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "head", [b"\xc6\x04", b"\xc6\xff\x00\x00\x00\x04", b"\x98\x04", b"\x99\x00\x04", b"\x9a\x00\x00\x00\x04"]
)
def test_all_forms_of_a_length_are_read(head: bytes) -> None:
    assert key_fingerprints(armoured(head + b"abcd")) == key_fingerprints(armoured(b"\x98\x04abcd"))


def test_a_length_of_two_octets() -> None:
    body = b"x" * 300
    assert key_fingerprints(armoured(b"\xc6\xc0\x6c" + body)) == key_fingerprints(armoured(b"\x99\x01\x2c" + body))


@pytest.mark.parametrize(
    ("text", "fingerprint", "faults"),
    [
        pytest.param(KEY, FINGERPRINT, [], id="the-one"),
        pytest.param(KEY, "c77d 3cbf 2f79 4b11 7c59  4dc7 95a5 1d59 a970 3976", [], id="as-people-write-it"),
        pytest.param(KEY, "A" * 40, [f"the key has the fingerprint {FINGERPRINT}, not {'A' * 40}"], id="another"),
        pytest.param(
            KEY + KEY,
            FINGERPRINT,
            [f"the key has the fingerprint {FINGERPRINT} and {FINGERPRINT}, not {FINGERPRINT}"],
            id="more-than-one",
        ),
        pytest.param(
            armoured(b"\xb4\x01x"),
            FINGERPRINT,
            [f"the key has the fingerprint of nothing, not {FINGERPRINT}"],
            id="no-key-packet",
        ),
    ],
)
def test_only_the_key_that_was_named(text: str, fingerprint: str, faults: list[str]) -> None:
    assert key_faults(text, fingerprint) == faults


def test_spaces_are_for_people() -> None:
    assert plain("ab 12\n") == "AB12"
