# SPDX-License-Identifier: Apache-2.0
"""Packages of other suites: sources derived, packages chosen, fetched, unpacked and kept."""

import contextlib
import http.server
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from debian_archive import Archive

from harness.packages import PackagesError, ProgressLine, Suite, Unavailable, locked, silent, whole
from harness.packages.places import cache_folder
from harness.packages.sources import Entry, derive, paragraphs, system_entries

DEBIAN_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
needs_apt = pytest.mark.skipif(
    not (shutil.which("apt-get") and shutil.which("dpkg-deb")), reason="no apt here"
)


# --- the machine's sources


@pytest.fixture
def etc(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_one_line_sources(etc):
    (etc / "sources.list").write_text(
        "# deb http://old/debian bookworm main\n"
        "deb http://a/debian bookworm main contrib # everything\n"
        "deb-src http://a/debian bookworm main\n"
        "\n"
        'deb [ arch=amd64,i386 signed-by="/k e y.gpg" lang=de ] http://b/debian ./\n'
    )
    assert system_entries(etc) == [
        Entry(("http://a/debian",), ("bookworm",), ("main", "contrib")),
        Entry(
            ("http://b/debian",),
            ("./",),
            (),
            {"Architectures": "amd64 i386", "Signed-By": "/k e y.gpg"},
        ),
    ]


def test_deb822_sources(etc):
    (etc / "sources.list.d/debian.sources").write_text(
        "# a comment\n"
        "Types: deb deb-src\nURIs: http://a/debian\n  http://b/debian\n"
        "Suites: bookworm bookworm-updates\nComponents: main\n"
        f"signed-by: {DEBIAN_KEYS}\n"
        "\n\n"
        "Types: deb\nURIs: http://off/debian\nSuites: bookworm\nComponents: main\nEnabled: no\n"
        "\n"
        "Types: deb-src\nURIs: http://source/debian\nSuites: bookworm\nComponents: main\n"
    )
    (etc / "sources.list.d/other.sources.disabled").write_text("deb http://x/debian sid main\n")
    assert system_entries(etc) == [
        Entry(
            ("http://a/debian", "http://b/debian"),
            ("bookworm", "bookworm-updates"),
            ("main",),
            {"Signed-By": DEBIAN_KEYS},
        )
    ]


def test_a_key_in_the_source_itself_is_kept(etc):
    key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEY865UxYJKwYB\n -----END-----"
    (etc / "sources.list.d/a.sources").write_text(
        "Types: deb\nURIs: http://a/debian\nSuites: bookworm\nComponents: main\n"
        f"Signed-By:\n {key}\n"
    )
    (found,) = paragraphs(derive("sid", system_entries(etc)).text())
    assert found["signed-by"].split() == key.split()
    assert found["suites"] == "sid"


def test_sources_that_are_not_there(etc):
    assert system_entries(etc / "nowhere") == []


def suites(entries):
    return [(entry.uris[0], entry.suites[0]) for entry in entries]


STABLE = [
    Entry(
        ("http://a/debian",),
        ("bookworm", "bookworm-updates"),
        ("main", "contrib"),
        {"Signed-By": DEBIAN_KEYS},
    ),
    Entry(("http://a/security",), ("bookworm-security",), ("main",), {"Signed-By": DEBIAN_KEYS}),
]


def test_a_release_comes_with_its_updates_and_security():
    derived = derive("trixie", STABLE)
    assert suites(derived.required) == [("http://a/debian", "trixie")]
    assert suites(derived.optional) == [
        ("http://a/debian", "trixie-updates"),
        ("http://a/security", "trixie-security"),
    ]
    assert derived.required[0].components == ("main",)
    assert derived.required[0].fields == {"Signed-By": DEBIAN_KEYS}


def test_without_a_source_of_security_updates_there_are_none():
    assert suites(derive("trixie", STABLE[:1]).optional) == [("http://a/debian", "trixie-updates")]


def test_backports_come_with_their_release():
    derived = derive("bookworm-backports", STABLE)
    assert suites(derived.required) == [
        ("http://a/debian", "bookworm-backports"),
        ("http://a/debian", "bookworm"),
    ]
    assert ("http://a/security", "bookworm-security") in suites(derived.optional)


def test_sid_is_alone():
    derived = derive("sid", STABLE)
    assert suites(derived.required) == [("http://a/debian", "sid")]
    assert derived.optional == ()


def test_a_source_in_two_entries_is_one():
    line = Entry(("http://a/debian",), ("bookworm",), ("main",))
    assert len(derive("sid", [line, line]).required) == 1


def test_those_who_publish_for_debian_are_not_debian():
    other = Entry(("http://b/x",), ("bookworm",), ("main",), {"Signed-By": "/etc/keys/x.gpg"})
    plain = Entry(("http://a/debian",), ("bookworm",), ("main",))
    assert suites(derive("sid", [other, plain]).required) == [("http://a/debian", "sid")]
    assert suites(derive("sid", [other, plain, *STABLE]).required) == [("http://a/debian", "sid")]
    assert suites(derive("sid", [other]).required) == [("http://b/x", "sid")]


def test_another_distribution_has_no_debian():
    noble = Entry(("http://u/ubuntu",), ("noble", "noble-updates"), ("main",))
    with pytest.raises(Unavailable, match="no package source for Debian"):
        derive("sid", [noble])


# --- an archive


@pytest.fixture
def archive(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Archive(tmp_path)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache/uapi-harness/apt"


def leftovers(cache):
    """What looks like half of something."""
    found = [path for path in cache.rglob("*.partial")]
    return found + [path for path in (cache / "debs").glob("partial/*")]


@needs_apt
def test_the_newest_of_release_updates_and_security(archive):
    archive.add("bookworm", "linux-image-6.1.0-9-amd64", "6.1.9-1")
    archive.add("bookworm", "linux-image-6.1.0-9-cloud-amd64", "6.1.99-1")
    archive.add("bookworm-updates", "linux-image-6.1.0-10-amd64", "6.1.10-1")
    archive.add("bookworm-security", "linux-image-6.1.0-11-amd64", "6.1.10-2")
    archive.publish()
    suite = Suite("bookworm", etc=archive.etc)
    found = suite.newest(r"linux-image-6\.1\.0-\d+-amd64")
    assert (found.name, found.version) == ("linux-image-6.1.0-11-amd64", "6.1.10-2")


@needs_apt
def test_the_highest_version_of_one_name(archive):
    archive.add("bookworm", "tool", "1.9")
    archive.add("bookworm-updates", "tool", "1.10")
    archive.publish()
    suite = Suite("bookworm", etc=archive.etc)
    assert suite.newest("tool").version == "1.10"
    assert suite.package("tool", "1.9").version == "1.9"


@needs_apt
def test_of_a_release_and_its_backports_these_are_preferred(archive):
    archive.add("bookworm", "tool", "1.0")
    archive.add("bookworm-backports", "tool", "2.0~bpo12")
    archive.publish()
    (tool,) = Suite("bookworm-backports", etc=archive.etc).closure(["tool"])
    assert tool.version == "2.0~bpo12"
    assert Suite("bookworm", etc=archive.etc).package("tool").version == "1.0"


@needs_apt
def test_what_is_not_there(archive):
    archive.add("bookworm", "tool")
    archive.publish()
    suite = Suite("bookworm", etc=archive.etc)
    with pytest.raises(Unavailable, match=r"^bookworm has no package nothing-\\d$"):
        suite.newest(r"nothing-\d")
    with pytest.raises(Unavailable, match=r"^bookworm has no package tool 2\.0$"):
        suite.package("tool", "2.0")
    with pytest.raises(Unavailable, match=r"^apt-get: Unable to locate package nothing$"):
        suite.closure(["nothing"])


@needs_apt
def test_a_suite_that_is_not_there(archive, cache):
    archive.add("bookworm", "tool")
    archive.publish()
    with pytest.raises(Unavailable, match=r"^forky: this machine's source has no such suite$"):
        Suite("forky", etc=archive.etc).newest("tool")
    assert leftovers(cache) == []
    assert not (cache / "forky").exists()


@pytest.mark.parametrize("name", ["../x", "a b", "", "-x", "x/../y"])
def test_what_can_be_no_suite(name):
    with pytest.raises(PackagesError, match="is no name of a suite"):
        Suite(name)


@needs_apt
def test_dependencies(archive):
    archive.add("bookworm", "app", depends="lib (>= 1.0), data | nothing")
    archive.add("bookworm", "lib")
    archive.add("bookworm", "data")
    archive.add("bookworm", "unrelated")
    archive.publish()
    suite = Suite("bookworm", etc=archive.etc)
    assert {package.name for package in suite.closure(["app"])} == {"app", "lib", "data"}
    assert suite.package("app").needs() == ["lib", "data"]


@needs_apt
def test_an_unsigned_source_that_nobody_trusts_is_refused(archive):
    archive.add("bookworm", "tool")
    archive.publish()
    archive.sources(f"deb [arch=amd64] file:{archive.root} bookworm main")
    with pytest.raises(Unavailable, match="is not signed"):
        Suite("bookworm", etc=archive.etc).newest("tool")


@needs_apt
def test_the_systems_hooks_and_preferences_do_not_count(archive, tmp_path, monkeypatch):
    hook = tmp_path / "ran"
    (tmp_path / "apt.conf").write_text(
        f'APT::Update::Post-Invoke {{ "touch {hook}"; }};\nAPT::Default-Release "stable";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    archive.add("bookworm", "tool")
    archive.publish()
    assert Suite("bookworm", etc=archive.etc).newest("tool")
    assert not hook.exists()


# --- files


@needs_apt
def test_unpacked_and_kept(archive, cache):
    archive.add("bookworm", "tool", "1:1.0", files={"usr/bin/tool": "#!/bin/sh\n"})
    archive.publish()
    said = []
    suite = Suite("bookworm", etc=archive.etc, progress=said.append)
    folder = suite.unpack(suite.newest("tool"))
    assert (folder / "usr/bin/tool").read_text() == "#!/bin/sh\n"
    assert folder == cache / "unpacked/tool_1%3a1.0_amd64"
    assert leftovers(cache) == []
    assert said[0] == "bookworm: fetching lists of packages"
    assert said[-1] == "tool: unpacking"


@needs_apt
def test_what_is_there_stays_when_the_source_is_gone(archive):
    archive.add("bookworm", "tool")
    archive.add("bookworm", "other")
    archive.publish()
    first = Suite("bookworm", etc=archive.etc)
    folder = first.unpack(first.newest("tool"))
    archive.vanish()
    said = []
    suite = Suite("bookworm", etc=archive.etc, progress=said.append, max_age=0)
    tool = suite.newest("tool")
    assert "the lists of packages stay as they were" in said[-1]
    assert suite.unpack(tool) == folder
    shutil.rmtree(folder)
    assert suite.unpack(tool) == folder  # from the .deb
    with pytest.raises(Unavailable, match=r"^apt-helper: .*other") as error:
        suite.unpack(suite.newest("other"))
    assert "\n" not in str(error.value)


@needs_apt
def test_a_version_that_vanished_after_the_list_was_made(archive, cache):
    file = archive.add("bookworm", "tool")
    archive.publish()
    suite = Suite("bookworm", etc=archive.etc)
    tool = suite.newest("tool")
    file.unlink()
    with pytest.raises(Unavailable, match=r"^apt-helper: .*tool"):
        suite.unpack(tool)
    assert leftovers(cache) == []


@needs_apt
def test_newer_lists_when_they_are_too_old(archive):
    archive.add("bookworm", "tool", "1.0")
    archive.publish()
    assert Suite("bookworm", etc=archive.etc).newest("tool").version == "1.0"
    archive.add("bookworm", "tool", "2.0")
    archive.publish()
    assert Suite("bookworm", etc=archive.etc).newest("tool").version == "1.0"
    assert Suite("bookworm", etc=archive.etc, max_age=0).newest("tool").version == "2.0"


@needs_apt
def test_a_truncated_package_at_the_source(archive, cache):
    file = archive.add("bookworm", "tool")
    archive.publish()
    file.write_bytes(file.read_bytes()[:-100])
    suite = Suite("bookworm", etc=archive.etc)
    with pytest.raises(Unavailable):
        suite.unpack(suite.newest("tool"))
    assert not (cache / "debs" / file.name).exists()
    assert list((cache / "unpacked").glob("tool*amd64")) == []


@needs_apt
def test_a_truncated_package_here_is_fetched_again(archive, cache):
    archive.add("bookworm", "tool")
    archive.publish()
    suite = Suite("bookworm", etc=archive.etc)
    tool = suite.newest("tool")
    (file,) = suite.fetch(tool)
    good = file.read_bytes()
    file.write_bytes(good[:-100])
    assert suite.fetch(tool) == [file]
    assert file.read_bytes() == good


@needs_apt
def test_what_is_no_package_leaves_nothing_unpacked(archive, cache):
    file = archive.add("bookworm", "tool")
    file.write_bytes(b"!<arch>\nnot really")
    archive.publish()
    suite = Suite("bookworm", etc=archive.etc)
    with pytest.raises(PackagesError, match=r"^dpkg-deb: ") as error:
        suite.unpack(suite.newest("tool"))
    assert "\n" not in str(error.value)
    assert not isinstance(error.value, Unavailable)
    assert leftovers(cache) == []
    assert list((cache / "unpacked").glob("tool*amd64")) == []


@needs_apt
def test_two_at_once(archive, cache):
    archive.add("bookworm", "tool", files={"usr/share/data": b"x" * 1_000_000})
    archive.publish()
    program = (
        "import sys; from pathlib import Path; from harness.packages import Suite\n"
        "suite = Suite('bookworm', etc=Path(sys.argv[1]))\n"
        "print(suite.unpack(suite.newest('tool')))"
    )
    command = [sys.executable, "-c", program, archive.etc]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said == [str(cache / "unpacked/tool_1.0_amd64")] * 2
    assert leftovers(cache) == []


class HalfServer(http.server.BaseHTTPRequestHandler):
    """Serves ``folder``. Of a package it gives half and ends, then what it is asked for."""

    folder = Path()
    ranges = []

    def do_GET(self):
        file = self.folder / self.path.lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        content = file.read_bytes()
        start, half = 0, len(content)
        if file.suffix == ".deb":
            asked = self.headers.get("Range")
            self.ranges.append(asked)
            start = int(re.findall(r"\d+", asked)[0]) if asked else 0
            half = len(content) if asked else len(content) // 2
        self.send_response(206 if start else 200)
        if start:
            place = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", place)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("Last-Modified", self.date_time_string(int(file.stat().st_mtime)))
        self.end_headers()
        self.wfile.write(content[start:half])

    def log_message(self, *words):
        pass


@needs_apt
def test_a_download_goes_on_where_it_ended(archive, monkeypatch):
    file = archive.add("sid", "tool", files={"usr/share/data": b"x" * 1_000_000})
    archive.publish()
    monkeypatch.setattr(HalfServer, "folder", archive.root.parent)
    monkeypatch.setattr(HalfServer, "ranges", [])
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), HalfServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            uri = f"http://127.0.0.1:{server.server_port}/debian"
            archive.sources(f"deb [trusted=yes arch=amd64] {uri} bookworm main")
            suite = Suite("sid", etc=archive.etc)
            tool = suite.newest("tool")
            with contextlib.suppress(Unavailable):  # newer apt tries again on its own
                suite.fetch(tool)
            (fetched,) = suite.fetch(tool)
        finally:
            server.shutdown()
            thread.join()
    assert fetched.read_bytes() == file.read_bytes()
    assert HalfServer.ranges == [None, f"bytes={file.stat().st_size // 2}-"]


def test_who_has_the_lock_is_waited_for(tmp_path):
    waiting = threading.Event()
    order = []

    def second():
        with locked(tmp_path / "thing", lambda what: waiting.set()):
            order.append("second")

    with locked(tmp_path / "thing", silent):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(30)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_folder_is_whole_or_not_there(tmp_path):
    target = tmp_path / "thing"

    def half():
        with whole(target) as partial:
            (partial / "file").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "thing.partial").mkdir()  # of a process that was killed
    (tmp_path / "thing.partial/locked").mkdir(mode=0)
    with whole(target) as partial:
        (partial / "file").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["thing"]
    assert [path.name for path in target.iterdir()] == ["file"]


@needs_apt
def test_a_full_disk(archive, cache):
    archive.add("bookworm", "tool", files={"usr/share/data": b"x" * 4_000_000})
    archive.publish()
    program = (
        "import sys; from pathlib import Path\n"
        "from harness.packages import PackagesError, Suite, Unavailable\n"
        "try:\n"
        "    suite = Suite('bookworm', etc=Path(sys.argv[1]))\n"
        "    suite.unpack(suite.newest('tool'))\n"
        "except PackagesError as error:\n"
        "    assert not isinstance(error, Unavailable), error\n"
        "    print(error)\n"
        "left = [str(p) for p in Path(sys.argv[2]).rglob('*tool*') if p.suffix != '.lock']\n"
        "assert not left, left\n"
    )
    cache.mkdir(parents=True)
    small = 'mount -t tmpfs -o size=3m none "$0" && exec "$@"'
    enter = ["unshare", "--map-root-user", "--mount", "sh", "-c", small, cache]
    if subprocess.run([*enter, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    command = [*enter, sys.executable, "-c", program, archive.etc, cache]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no space left on device" in done.stdout.lower()
    assert len(done.stdout.splitlines()) == 1


def test_without_apt(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="there is no apt-get here"):
        Suite("bookworm", etc=Path("/etc/apt")).newest("tool")


# --- progress


class Terminal:
    """What was written to a terminal, or to something that is none."""

    def __init__(self, is_terminal):
        self.text = ""
        self._is_terminal = is_terminal

    def isatty(self):
        return self._is_terminal

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_progress_rewrites_its_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "4")
    terminal = Terminal(True)
    line = ProgressLine(terminal)
    line("one")
    line("two and more")
    line.close()
    assert terminal.text == "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[K"


def test_progress_is_for_terminals():
    pipe = Terminal(False)
    line = ProgressLine(pipe)
    line("one")
    line.close()
    assert pipe.text == ""


def test_where_there_can_be_no_cache(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    remedy = "XDG_CACHE_HOME can name a folder for it"
    text = f"{tmp_path}/file/uapi-harness: not a directory; {remedy}"
    with pytest.raises(PackagesError, match=f"^{text}$"), locked(cache_folder() / "x", print):
        pass
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    with pytest.raises(PackagesError, match=f"^this user has no home directory .*; {remedy}$"):
        cache_folder()


def nobody(uid):
    """pwd.getpwuid for a user who is in no list of users."""
    raise KeyError(uid)
