# SPDX-License-Identifier: Apache-2.0
"""Kernels made ready to boot: the table, the kernel in a bzImage, modules, configurations."""

import bz2
import functools
import gzip
import lzma
import re
import shutil
import struct
import subprocess
import tarfile

import pytest
from debian_archive import Archive

from harness import data
from harness.packages import PackagesError, Suite, Unavailable
from harness.vm import image, kernel_table, kernels
from harness.vm.bzimage import vmlinux
from harness.vm.custom import not_taken, settings
from harness.vm.programs import BuildError, need, run
from harness.vm.samples import pick

KERNEL = b"\x7fELF" + bytes(range(256)) * 64


def bz_image(payload, kernel=KERNEL, sectors=3, protocol=0x020F):
    """A bzImage as the boot protocol describes it, with nothing that could run."""
    header = bytearray((sectors + 1) * 512)
    offset = 0x100
    header[0x1F1] = sectors
    header[0x1FE:0x200] = b"\x55\xaa"
    header[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", header, 0x206, protocol)
    payload = payload + struct.pack("<I", len(kernel))
    struct.pack_into("<II", header, 0x248, offset, len(payload))
    return bytes(header) + b"\xcc" * offset + payload + b"\xcc" * 64


def by_program(*command):
    def pack(kernel):
        if shutil.which(command[0]) is None:
            pytest.skip(f"no {command[0]} here")
        return subprocess.run(command, input=kernel, stdout=subprocess.PIPE, check=True).stdout

    return pack


# --- the kernel in a bzImage


@pytest.mark.parametrize(
    "pack",
    [
        lambda kernel: gzip.compress(kernel)[:-4],  # its own last bytes are the size already
        lzma.compress,
        functools.partial(lzma.compress, format=lzma.FORMAT_ALONE),
        bz2.compress,
        by_program("zstd", "-c"),
        by_program("lz4", "-l", "-c"),
    ],
    ids=["gzip", "xz", "lzma", "bzip2", "zstd", "lz4"],
)
def test_the_kernel_is_unpacked(pack):
    assert vmlinux(bz_image(pack(KERNEL))) == KERNEL


def test_four_sectors_of_setup_are_written_as_none():
    picture = bytearray(bz_image(lzma.compress(KERNEL), sectors=4))
    picture[0x1F1] = 0
    assert vmlinux(bytes(picture)) == KERNEL


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (b"", "too short"),
        (bytes(4096), "no header of boot protocol"),
        (bz_image(lzma.compress(KERNEL), protocol=0x0207), "no header of boot protocol"),
        (bz_image(lzma.compress(KERNEL))[:-100], "cut short"),
        (bz_image(lzma.compress(KERNEL)[:-40]), "cannot be unpacked|something else"),
        (bz_image(lzma.compress(b"no ELF"), kernel=b"no ELF"), "something else than promised"),
        (bz_image(lzma.compress(KERNEL[:-1])), "something else than promised"),
        (bz_image(b"\x89LZO" + KERNEL), "packed in no known way"),
        (bz_image(b"\xfd7zXZ\0" + KERNEL), "cannot be unpacked"),
    ],
)
def test_what_is_no_bz_image(picture, message):
    with pytest.raises(BuildError, match=message) as error:
        vmlinux(picture)
    assert "\n" not in str(error.value)


# --- the table


def test_the_table_has_a_kernel_for_each_profile_of_debians_kernels():
    table = kernel_table.load()
    series = {"rfc-v1", "rfc-v2", "v6", "oa"}  # nobody can run these
    assert set(data.profile_names()) - series <= {*table.profiles, *table.custom, *table.changed}
    for entry in table.custom.values():
        assert data.data_path("fixtures", "kernel-configs", entry.configuration).is_file()
        assert entry.source in table.profiles


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("6.1", "linux-image-6.1.0-56-amd64"),
        ("6.12", "linux-image-6.12.95+deb12-amd64"),
        ("6.12", "linux-image-6.12.90+deb12.1-amd64"),
        ("7.3", "linux-image-7.3-amd64"),
        ("sid", "linux-image-7.2.13+deb14-amd64"),
    ],
)
def test_which_package_is_an_image(name, package):
    assert re.fullmatch(kernel_table.load().look(name)[1], package)


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("6.1", "linux-image-6.12.95+deb12-amd64"),
        ("6.1", "linux-image-6.1.0-56-rt-amd64"),
        ("6.1", "linux-image-6.1.0-56-cloud-amd64"),
        ("6.1", "linux-image-6.1.0-56-amd64-unsigned"),
        ("6.1", "linux-image-6.1.0-56-amd64-dbg"),
        ("6.1", "linux-image-6x1.0-56-amd64"),
        ("sid", "linux-image-amd64"),
    ],
)
def test_which_package_is_none(name, package):
    assert not re.fullmatch(kernel_table.load().look(name)[1], package)


def test_where_kernels_are_looked_for():
    table = kernel_table.load()
    assert table.look("6.12")[0] == table.profiles["6.12"]
    assert table.look("5.10")[0] == table.suites
    assert table.look("sid")[0] == ("sid",)


@pytest.mark.parametrize("name", ["6", "", "nothing", "../6.1", "6.1/..", "6.1 ", "v6", "6.1+x"])
def test_what_names_no_kernel(name):
    with pytest.raises(Unavailable, match=re.escape(f'"{name}" names no kernel; known: 6.1, ')):
        kernel_table.load().look(name)


def test_kernels_that_another_version_built_are_not_shown(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("5.10", "6.1+nothing"):
        manifest = tmp_path / "uapi-harness" / "kernels" / name / "manifest.json"
        manifest.parent.mkdir(parents=True)
        manifest.write_text("{}")
    assert "5.10" in kernels.names()
    assert "6.1+nothing" not in kernels.names()


GOOD = """\
schema: 1
profiles: {"6.1": [bookworm]}
suites: [bookworm]
custom: {"6.1+x": {source: "6.1", configuration: x.config}}
changed: {"6.1+y": {kernel: "6.1", module: vfio, folder: drivers/vfio, setting: CONFIG_Y}}
samples: {mtty: [samples/vfio-mdev/mtty.c]}
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema: 1", "schema: 2", "2 is not a schema of this file; allowed: 1"),
        ("suites: [bookworm]", "suits: [bookworm]", ":3: suits: unknown key; did you mean suites?"),
        ("suites: [bookworm]", "suites: bookworm", ':3: suites: "bookworm" is not a list'),
        ("suites: [bookworm]", "suites: []", ":3: suites: nothing is there"),
        ("suites: [bookworm]", 'suites: ["../x"]', '"../x" is not such as bookworm-backports'),
        ('"6.1": [bookworm]', "six: [bookworm]", '"six" is not such as 6.12'),
        ("[samples/vfio-mdev/mtty.c]", "[/etc/passwd]", '"/etc/passwd" is not such as samples/'),
        ("[samples/vfio-mdev/mtty.c]", "[a/../b.c]", "is not such as samples/"),
        ("x.config", "../x.config", '"../x.config" is not such as iommufd.config'),
        ('"6.1+x"', '"6.1"', '"6.1" is not such as 6.12+iommufd'),
        ('"6.1+y"', '"6.1"', '"6.1" is not such as 6.12+noiommu'),
        ('kernel: "6.1"', "kernel: sid", '"sid" is not such as 6.12'),
        ("drivers/vfio", "../vfio", '"../vfio" is not such as drivers/vfio'),
        ("CONFIG_Y", "Y", '"Y" is not such as CONFIG_VFIO_NOIOMMU'),
        ("mtty:", "tty:", ":6: samples.tty: its first file is not tty.c"),
        ('source: "6.1", ', "", ":4: custom.6.1+x: source is missing"),
    ],
)
def test_what_is_wrong_in_a_table(tmp_path, old, new, message):
    file = tmp_path / "kernels.yaml"
    file.write_text(GOOD)
    assert kernel_table.load(file).suites == ("bookworm",)
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(data.DataError, match=re.escape(message)) as error:
        kernel_table.load(file)
    assert str(error.value).startswith(f"{file}:")
    assert "\n" not in str(error.value)


# --- programs


def test_all_missing_programs_are_named_with_their_packages():
    message = r"^not installed: no-such-1, no-such-2 \(Debian: no-such-1 no-such-2\)$"
    with pytest.raises(Unavailable, match=message):
        need("sh", "no-such-1", "no-such-2")


def test_the_first_error_of_a_program_is_told():
    script = "echo warning >&2; echo 'a.c:1: error: this' >&2; echo error: that >&2; exit 3"
    with pytest.raises(BuildError, match=r"^making a: a\.c:1: error: this$"):
        run(["sh", "-c", script], what="making a")


def test_lines_of_a_program():
    lines = []
    run(["printf", "one\\ntwo\\n"], what="", each_line=lines.append)
    assert lines == ["one\n", "two\n"]


def test_an_interruption_ends_what_a_program_started(tmp_path):
    def interrupt(line):
        raise KeyboardInterrupt

    fifo = tmp_path / "fifo"
    script = f"mkfifo {fifo}; (exec cat {fifo}) & echo started; wait"
    with pytest.raises(KeyboardInterrupt):
        run(["sh", "-c", script], what="", each_line=interrupt)
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert f"cat {fifo}" not in listed.stdout


# --- sources


def test_files_are_picked_from_an_archive(tmp_path):
    tree = tmp_path / "linux-source-6.1"
    for name in ("samples/a.c", "samples/b.c", "drivers/c.c"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    with tarfile.open(tmp_path / "a.tar.xz", "w:xz") as tar:
        tar.add(tree, "linux-source-6.1")
    pick(tmp_path / "a.tar.xz", ["samples/b.c", "drivers/c.c"], tmp_path / "picked")
    picked = (tmp_path / "picked").rglob("*.c")
    assert sorted(path.read_text() for path in picked) == ["drivers/c.c", "samples/b.c"]
    with pytest.raises(PackagesError, match=r"^a\.tar\.xz has no samples/z\.c$"):
        pick(tmp_path / "a.tar.xz", ["samples/a.c", "samples/z.c"], tmp_path / "other")


# --- configurations


def test_settings_that_a_kernel_did_not_take(tmp_path):
    wanted, got = tmp_path / "wanted", tmp_path / "got"
    wanted.write_text(
        "# a comment\nCONFIG_A=y\nCONFIG_B=m\nCONFIG_C=m\nCONFIG_D=n\nCONFIG_E=n\n"
        'CONFIG_F="text"\nCONFIG_G=y\n'
    )
    got.write_text(
        '# CONFIG_D is not set\nCONFIG_A=y\nCONFIG_B=y\nCONFIG_E=y\nCONFIG_F="text"\n'
        "# CONFIG_G is not set\n"
    )
    assert not_taken(settings(wanted), settings(got)) == [
        "CONFIG_B=m (is y)",
        "CONFIG_C=m (is n)",
        "CONFIG_E=n (is y)",
        "CONFIG_G=y (is n)",
    ]


def test_configurations_that_come_along_say_each_thing_once():
    for file in data.data_path("fixtures", "kernel-configs").iterdir():
        lines = file.read_text().splitlines()
        said = [line.partition("=")[0] for line in lines if line and not line.startswith("#")]
        assert len(said) == len(set(said)) == len(settings(file))


# --- all of it, on an archive of our own

RELEASE = "6.1.0-1-amd64"
FAKE_HEADERS = """\
modules: ; cp $(M)/one.c $(M)/one.ko
vfio.ko: ; echo "$(CONFIG_Y) $(KCFLAGS)" | cat $(M)/vfio.c - > $(M)/vfio.ko
"""
FAKE_SOURCE = """\
tinyconfig: ; echo CONFIG_TINY=y > .config
olddefconfig: ; sed -i s/^CONFIG_LOST=.*// .config
vmlinux: ; cat .config > vmlinux
modules: ;
modules_install: modules = $(INSTALL_MOD_PATH)/lib/modules/6.1.1-x
modules_install: ; mkdir -p $(modules)/kernel && ln -s $(CURDIR) $(modules)/build \\
\t&& echo one > $(modules)/kernel/one.ko && echo two > $(modules)/kernel/two.ko
"""
FAKE_DEPMOD = "#!/bin/sh\ntest -d $2/lib/modules/$3/kernel && echo done > $2/lib/modules/$3/dep\n"


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Debian's kernel 6.1 with everything about it made of a few bytes, and its programs."""
    if not shutil.which("apt-get") or not shutil.which("make"):
        pytest.skip("no apt or no make here")
    programs = tmp_path / "bin"
    programs.mkdir()
    fakes = {
        "depmod": FAKE_DEPMOD,
        "gcc": "#!/bin/sh\necho 12.2.0\n",
        **dict.fromkeys(("gcc-12", "ld", "flex", "bison", "bc"), "#!/bin/sh\n"),
    }
    for name, text in fakes.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    archive = Archive(tmp_path)
    monkeypatch.setattr(image, "Suite", functools.partial(Suite, etc=archive.etc))
    table = GOOD.replace("mtty: [samples/vfio-mdev/mtty.c]", "one: [a/one.c], two: [a/two.c]")
    (tmp_path / "kernels.yaml").write_text(table)
    monkeypatch.setattr(
        kernel_table, "load", functools.partial(kernel_table.load, tmp_path / "kernels.yaml")
    )
    add_kernel(archive, tmp_path, "6.1.1-1")
    archive.publish()
    return archive


def add_kernel(archive, folder, version):
    tree = folder / f"linux-{version}"
    (tree / "a").mkdir(parents=True)
    (tree / "Makefile").write_text(FAKE_SOURCE)
    for name in ("one", "two"):
        (tree / "a" / f"{name}.c").write_text(f"{name} of {version}")
    (tree / "drivers/vfio").mkdir(parents=True)
    (tree / "drivers/vfio/vfio.c").write_text(f"vfio of {version}\n")
    with tarfile.open(folder / "source.tar.xz", "w:xz") as tar:
        tar.add(tree, "linux-source-6.1")
    source = {"usr/src/linux-source-6.1.tar.xz": (folder / "source.tar.xz").read_bytes()}
    kernel = {
        f"boot/vmlinuz-{RELEASE}": bz_image(lzma.compress(KERNEL)),
        f"lib/modules/{RELEASE}/kernel/vfio.ko.xz": "vfio",
    }
    headers = f"usr/src/linux-headers-{RELEASE}"
    archive.add("bookworm", f"linux-image-{RELEASE}", version, files=kernel)
    archive.add("bookworm", "linux-source-6.1", version, files=source)
    archive.add(
        "bookworm",
        f"linux-headers-{RELEASE}",
        version,
        "linux-headers-6.1-common, linux-kbuild-6.1, linux-compiler-gcc-12-x86",
        {f"{headers}/Makefile": "include /usr/src/linux-headers-6.1-common/Makefile\n"},
    )
    # What archives keep one version of; the newest.
    if version == "6.1.1-1":
        common = {"usr/src/linux-headers-6.1-common/Makefile": FAKE_HEADERS}
        archive.add("bookworm", "linux-headers-6.1-common", version, files=common)
        fixdep = {f"{headers}/scripts/basic/fixdep": "#!/bin/sh\necho Usage: fixdep\n"}
        archive.add("bookworm", "linux-kbuild-6.1", version, files=fixdep)
        archive.add("bookworm", "linux-compiler-gcc-12-x86", version)


def test_a_kernel_made_ready(archive, tmp_path):
    said = []
    made = kernels.build("6.1", said.append)
    folder = tmp_path / "cache/uapi-harness/kernels/6.1"
    modules = folder / "root/lib/modules" / RELEASE
    assert (made.name, made.release, made.suite) == ("6.1", RELEASE, "bookworm")
    assert (made.package, made.version) == (f"linux-image-{RELEASE}", "6.1.1-1")
    assert made.vmlinux == folder / "vmlinux"
    assert made.vmlinux.read_bytes() == KERNEL
    assert made.modules == folder / "root"
    assert (modules / "dep").read_text() == "done\n"
    assert (folder / "root/usr/lib/modules" / RELEASE / "kernel/vfio.ko.xz").is_file()
    assert made.extra == {"one": modules / "extra/one.ko"}
    assert made.extra["one"].read_text() == "one of 6.1.1-1"
    assert list(made.missing) == ["two"]
    assert made.missing["two"].startswith("two cannot be compiled: ")
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "root", "vmlinux"]
    assert said[-1] == "6.1: listing its modules"


def test_a_kernel_is_made_once(archive):
    made = kernels.build("6.1")
    archive.vanish()
    said = []
    assert kernels.build("6.1", said.append) == made
    assert said == []
    assert kernels.build("6.1", said.append, refresh=True) == made


def test_a_newer_kernel_when_asked_for(archive, tmp_path):
    assert kernels.build("6.1").version == "6.1.1-1"
    add_kernel(archive, tmp_path, "6.1.2-1")
    archive.publish()
    assert kernels.build("6.1").version == "6.1.1-1"
    made = kernels.build("6.1", refresh=True)
    assert made.version == "6.1.2-1"
    assert made.extra["one"].read_text() == "one of 6.1.2-1"


def test_a_kernel_is_made_anew_when_it_would_become_another(archive, tmp_path):
    made = kernels.build("6.1")
    table = tmp_path / "kernels.yaml"
    table.write_text(table.read_text().replace(", two: [a/two.c]", ""))
    assert kernels.build("6.1").missing == {}
    made.vmlinux.unlink()
    assert kernels.build("6.1").vmlinux.is_file()


def test_nothing_is_left_of_a_kernel_that_could_not_be_made(archive, tmp_path, monkeypatch):
    (tmp_path / "bin/depmod").write_text("#!/bin/sh\necho depmod: ERROR: no >&2; exit 1\n")
    with pytest.raises(BuildError, match="depmod: ERROR: no"):
        kernels.build("6.1")
    left = list((tmp_path / "cache/uapi-harness/kernels").iterdir())
    assert [path.name for path in left] == ["6.1.lock"]


def test_a_kernel_that_no_suite_has(archive):
    with pytest.raises(Unavailable, match=r"^bookworm has no package linux-image-5"):
        kernels.build("5.10")


def test_a_kernel_with_another_module(archive, tmp_path):
    made = kernels.build("6.1+y")
    folder = tmp_path / "cache/uapi-harness/kernels/6.1+y"
    (module,) = made.modules.rglob("vfio.ko*")
    assert module == folder / "root/lib/modules" / RELEASE / "kernel/vfio.ko"
    assert module.read_text() == "vfio of 6.1.1-1\ny -DCONFIG_Y=1\n"
    assert (made.name, made.release, list(made.extra)) == ("6.1+y", RELEASE, ["one"])
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "root", "vmlinux"]
    table = tmp_path / "kernels.yaml"
    table.write_text(table.read_text().replace("module: vfio", "module: uio"))
    with pytest.raises(BuildError, match=r"^6\.1\+y: the kernel has no module uio$"):
        kernels.build("6.1+y")


@pytest.fixture
def configuration(archive, tmp_path, monkeypatch):
    """The file of the custom kernel 6.1+x."""
    file = tmp_path / "x.config"
    file.write_text("CONFIG_WANTED=m\nCONFIG_OTHER=n\n")
    monkeypatch.setattr("harness.vm.custom.data.data_path", lambda *_: file)
    return file


def test_a_custom_kernel(configuration, tmp_path):
    said = []
    made = kernels.build("6.1+x", said.append)
    folder = tmp_path / "cache/uapi-harness/kernels/6.1+x"
    modules = folder / "root/lib/modules/6.1.1-x"
    assert (made.name, made.release) == ("6.1+x", "6.1.1-x")
    assert (made.package, made.version) == ("linux-source-6.1", "6.1.1-1")
    assert made.vmlinux.read_text() == "CONFIG_TINY=y\nCONFIG_WANTED=m\nCONFIG_OTHER=n\n"
    assert made.extra == {name: modules / f"kernel/{name}.ko" for name in ("one", "two")}
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "root", "vmlinux"]
    assert sorted(path.name for path in modules.iterdir()) == ["dep", "kernel"]
    assert "6.1+x: make vmlinux, 1 steps" in said


def test_a_setting_that_the_kernel_does_not_take_is_named(configuration, tmp_path):
    configuration.write_text("CONFIG_WANTED=m\nCONFIG_LOST=y\n")
    with pytest.raises(BuildError, match=r"does not take CONFIG_LOST=y \(is n\);"):
        kernels.build("6.1+x")
    assert not (tmp_path / "cache/uapi-harness/kernels/6.1+x").exists()


def test_a_sample_that_a_configuration_does_not_build(configuration, tmp_path):
    table = tmp_path / "kernels.yaml"
    table.write_text(table.read_text().replace("two: [a/two.c]", "three: [a/three.c]"))
    with pytest.raises(BuildError, match=r"x\.config does not build the module three$"):
        kernels.build("6.1+x")


def test_a_custom_kernel_is_compiled_once_for_what_it_depends_on(configuration, tmp_path):
    def compiles():
        said = []
        kernels.build("6.1+x", said.append)
        return any("make vmlinux" in what for what in said)

    assert compiles()
    assert not compiles()
    configuration.write_text("CONFIG_WANTED=y\n")
    assert compiles()
    (tmp_path / "bin/gcc").write_text("#!/bin/sh\necho 13.1.0\n")
    assert compiles()
