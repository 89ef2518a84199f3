# SPDX-License-Identifier: Apache-2.0
"""The machine's package sources, and the same archive's other suites derived from them.

Both of apt's formats are read (sources.list(5)); what is derived is written in the newer one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from attrs import Factory, evolve, frozen

from harness.packages.errors import PackagesError, Unavailable

SUITE_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]*")
#: Debian's releases and classes of them: by these an entry is known to be of its archive.
_RELEASES = {
    *("buster", "bullseye", "bookworm", "trixie", "forky", "duke", "sid"),
    *("oldoldstable", "oldstable", "stable", "testing", "unstable"),
}
#: Suites without updates and security of their own.
_ROLLING = frozenset(("sid", "unstable", "experimental", "rc-buggy"))
_COMPONENT = "main"
#: Options of a one-line entry and their names as fields. The rest is not for us: languages, index
#: targets, and those that would let a source go unchecked for its age, which we do anyhow.
_OPTIONS = {"arch": "Architectures", "signed-by": "Signed-By", "trusted": "Trusted"}
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<words>\S.*)")


@frozen
class Entry:
    """One entry: every suite at every URI. ``fields`` are the further fields, as they stand."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    fields: Mapping[str, str] = Factory(dict)

    def text(self) -> str:
        """The entry as a stanza of a ``.sources`` file, of which apt fetches only what we read."""
        fields = {
            "Types": "deb",
            "URIs": " ".join(self.uris),
            "Suites": " ".join(self.suites),
            "Components": " ".join(self.components),
            "Targets": "Packages",
            **self.fields,
        }
        return "".join(f"{name}: {value}\n" for name, value in fields.items())


def paragraphs(text: str) -> Iterator[dict[str, str]]:
    """The paragraphs of a deb822 text: fields by lower-case name, further lines kept with it."""
    fields: dict[str, str] = {}
    name = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                yield fields
            fields = {}
        elif line[0] in " \t":
            if name in fields:
                fields[name] += f"\n{line}"
        else:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()


def system_entries(etc: Path) -> list[Entry]:
    """All enabled entries for binary packages below ``etc`` (``/etc/apt``), in apt's order."""
    entries: list[Entry] = []
    for file in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        try:
            text = file.read_text(errors="replace")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise PackagesError(f"{file}: {error.strerror}") from None
        if file.suffix == ".sources":
            entries.extend(_stanzas(text))
        elif file.suffix == ".list":
            entries.extend(_lines(text))
    return entries


def _stanzas(text: str) -> Iterator[Entry]:
    for found in paragraphs(text):
        words = {name: tuple(value.split()) for name, value in found.items()}
        enabled = found.get("enabled", "yes").lower() not in ("no", "false", "off", "0")
        if enabled and "deb" in words.get("types", ()) and words.get("uris"):
            yield Entry(
                words["uris"],
                words.get("suites", ()),
                words.get("components", ()),
                {name: found[name.lower()] for name in _OPTIONS.values() if name.lower() in found},
            )


def _lines(text: str) -> Iterator[Entry]:
    for line in text.splitlines():
        match = _ONE_LINE.fullmatch(line.partition("#")[0].strip())
        words = match["words"].split() if match else []
        if match is None or len(words) < 2:
            continue
        options = dict(option.partition("=")[::2] for option in shlex.split(match["options"] or ""))
        fields = {
            field: options[option].replace(",", " ")
            for option, field in _OPTIONS.items()
            if option in options
        }
        yield Entry((words[0],), (words[1],), tuple(words[2:]), fields)


@frozen
class Derived:
    """The entries for one suite. Those of ``optional`` need not exist."""

    required: tuple[Entry, ...]
    optional: tuple[Entry, ...] = ()

    def without(self, suites: Iterable[str]) -> Derived:
        """The same without some of the optional suites."""
        gone = set(suites)
        kept = tuple(entry for entry in self.optional if not gone.intersection(entry.suites))
        return Derived(self.required, kept)

    def text(self) -> str:
        """All of them as a ``.sources`` file."""
        return "\n".join(entry.text() for entry in (*self.required, *self.optional))


def derive(suite: str, entries: Iterable[Entry]) -> Derived:
    """Entries for ``suite`` with the URIs, keys and options of Debian's own among ``entries``.

    Backports stand on their release. A release has updates, from the same place, and security
    updates if the machine has a source of those. Unavailable if no entry is Debian's.
    """
    entries = list(entries)
    archive = _trusted_most(entry for entry in entries if _RELEASES.intersection(entry.suites))
    if not archive:
        raise Unavailable(
            "this machine has no package source for Debian (an entry with a Debian release and "
            f"{_COMPONENT} in /etc/apt/sources.list or sources.list.d)"
        )
    release = suite.removesuffix("-backports")
    required = [_at(entry, suite) for entry in archive]
    if release != suite:
        required.extend(_at(entry, release) for entry in archive)
    if release in _ROLLING:
        return Derived(_once(required))
    optional = [_at(entry, f"{release}-updates") for entry in archive]
    security = _trusted_most(entry for entry in entries if _is_security(entry))
    optional.extend(_at(entry, _security_suite(release)) for entry in security)
    return Derived(_once(required), _once(optional))


def _once(entries: list[Entry]) -> tuple[Entry, ...]:
    """A source that stands in several lines is one source."""
    return tuple(entry for place, entry in enumerate(entries) if entry not in entries[:place])


def _at(entry: Entry, suite: str) -> Entry:
    return evolve(entry, suites=(suite,), components=(_COMPONENT,))


def _is_security(entry: Entry) -> bool:
    return any(re.fullmatch(r"(\w+)(-security|/updates)", suite) for suite in entry.suites)


def _security_suite(release: str) -> str:
    """Security had its suites below the release's name until Debian 10."""
    return f"{release}/updates" if release == "buster" else f"{release}-security"


def _trusted_most(entries: Iterable[Entry]) -> list[Entry]:
    """Of the entries with ``main``, those that are Debian's own rather than for Debian.

    Others publish for Debian's releases as well, with a key of their own. So an entry that names
    Debian's keyring comes first, then one that names no key, and only then any other.
    """
    ranked: dict[int, list[Entry]] = {}
    for entry in entries:
        if _COMPONENT in entry.components:
            key = entry.fields.get("Signed-By")
            rank = 1 if key is None else 0 if "debian-archive" in key else 2
            ranked.setdefault(rank, []).append(entry)
    return ranked[min(ranked)] if ranked else []
