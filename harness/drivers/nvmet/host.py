# SPDX-License-Identifier: Apache-2.0
"""Hosts, which subsystems may be linked to, and their keys (configfs.c, auth.c; 6.12)."""

from __future__ import annotations

import errno
import re

from harness.drivers.nvmet.parse import chosen, fail, one_of, value
from harness.drivers.nvmet.state import Nvmet
from harness.kernel.configfs import ConfigGroup, ItemType
from harness.kernel.errors import Errno
from harness.kernel.kstrtox import c_string

_HASHES = ("hmac(sha256)", "hmac(sha384)", "hmac(sha512)")
_DHGROUPS = ("null", "ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192")
_SECRET = re.compile(rb"DHHC-1:([+-]?\d+):")
_KEY_HASHES = 3


class Host(ConfigGroup):
    """A directory below ``hosts``."""

    dhchap_key = ""
    dhchap_ctrl_key = ""
    dhchap_hash = _HASHES[0]
    dhchap_dhgroup = _DHGROUPS[0]


def nvmet_auth_set_key(data: bytes) -> str:
    """``DHHC-1:HASH:KEY`` with a hash of 0 to 3; EINVAL. The key itself is not looked at."""
    text = c_string(data)
    found = _SECRET.match(text)
    if found is None:
        raise Errno(errno.EINVAL)
    fail(0 <= int(found[1]) <= _KEY_HASHES)
    return text.strip().decode(errors="surrogateescape")


ATTRIBUTES = (
    value("dhchap_key", "dhchap_key", nvmet_auth_set_key),
    value("dhchap_ctrl_key", "dhchap_ctrl_key", nvmet_auth_set_key),
    value("dhchap_hash", "dhchap_hash", lambda data: one_of(data, _HASHES)),
    value("dhchap_dhgroup", "dhchap_dhgroup", lambda data: one_of(data, _DHGROUPS)),
)


def hosts_group(module: Nvmet) -> ConfigGroup:
    """The directory ``hosts``."""
    host_type = ItemType(chosen(ATTRIBUTES, module.section.host))

    def nvmet_hosts_make_group(group: ConfigGroup, name: str) -> ConfigGroup:
        return Host(name, host_type)

    return ConfigGroup("hosts", ItemType(make_group=nvmet_hosts_make_group))
