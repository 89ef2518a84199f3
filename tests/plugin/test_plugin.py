# SPDX-License-Identifier: Apache-2.0
"""The plugin as a stranger's tests use it."""

import pytest

pytest_plugins = ["pytester"]


def test_two_lines(outcome):
    code = """
        def test_state(uapi_machine):
            assert uapi_machine.read("/sys/bus/dsa/devices/dsa0/state") == "disabled\\n"

        def test_program(uapi_run):
            assert uapi_run(["cat", "/sys/bus/dsa/devices/dsa0/state"]).stdout == "disabled\\n"
    """
    outcome(code, passed=2)


def test_machines_are_chosen_by_marker_option_and_setting(outcome, pytester):
    code = """
        import pytest

        def test_chosen(uapi_machine, pytestconfig):
            wanted = pytestconfig.getoption("uapi_machine") or pytestconfig.getini("uapi_machine")
            assert uapi_machine.name == wanted
            assert uapi_machine.profile.name == "6.12"

        @pytest.mark.uapi_machine("gnr-1s", profile="7.2")
        def test_marked(uapi_machine):
            assert (uapi_machine.name, uapi_machine.profile.name) == ("gnr-1s", "7.2")

        @pytest.mark.uapi_machine(profile="6.1")
        def test_marked_kernel(uapi_machine):
            assert uapi_machine.profile.name == "6.1"
    """
    pytester.makeini("[pytest]\nuapi_machine = empty\nuapi_profile = 6.12\n")
    outcome(code, passed=3)
    outcome(code, "--uapi-machine", "spr-1s", passed=3)
    outcome(code, "--uapi-profile", "7.2", passed=2, failed=1)


def test_the_machine_is_open_between_programs(outcome):
    code = """
        SIZE = "/sys/bus/dsa/devices/wq0.0/size"

        def test_both_ways(uapi_run):
            uapi_run(["sh", "-c", f"echo 8 >{SIZE}"], check=True)
            assert uapi_run.machine.read(SIZE) == "8\\n"
            uapi_run.machine.write(SIZE, "16")
            assert uapi_run(["cat", SIZE]).stdout == "16\\n"
            uapi_run.machine.unplug("0000:6a:02.0")
            uapi_run.flush()
            assert "iax1" not in uapi_run(["ls", "/sys/bus/dsa/devices"]).stdout

        def test_a_fresh_one(uapi_run):
            assert uapi_run(["cat", SIZE]).stdout == "0\\n"
    """
    outcome(code, passed=2)


def test_the_mounts_options(outcome):
    code = """
        import pytest

        @pytest.mark.uapi_mount(uevents=True)
        def test_network(uapi_run):
            assert "lo:" in uapi_run(["cat", "/proc/net/dev"]).stdout

        @pytest.mark.uapi_mount(telepathy=True)
        def test_unknown(uapi_run):
            pass
    """
    result = outcome(code, passed=1, errors=1)
    result.stdout.fnmatch_lines(["*uapi_mount(uevents=False)*"])


def test_what_a_program_is_given_and_gives(outcome):
    code = """
        import subprocess
        import pytest
        from harness.mounts.process import CommandError

        def test_streams(uapi_run, tmp_path):
            done = uapi_run(["sh", "-c", "cat; pwd; echo $A >&2; exit 3"], input="in\\n",
                            cwd=tmp_path, env={"A": "b", "PATH": "/bin:/usr/bin"})
            assert (done.returncode, done.stdout, done.stderr) == (3, f"in\\n{tmp_path}\\n", "b\\n")

        def test_check(uapi_run):
            with pytest.raises(subprocess.CalledProcessError):
                uapi_run(["false"], check=True)

        def test_missing(uapi_run):
            with pytest.raises(CommandError, match="No such file"):
                uapi_run(["/nonexistent"])

        def test_user(uapi_run):
            denied = uapi_run(["sh", "-c", "id -u; echo 1 >/sys/bus/dsa/devices/wq0.0/size"], uid=7)
            assert denied.stdout == "7\\n" and "denied" in denied.stderr

        def test_timeout(uapi_run):
            with pytest.raises(TimeoutError):
                uapi_run(["sleep", "1000"], timeout=0.1)

        def test_left_behind(uapi_run):
            uapi_run.popen(["sleep", "1000"])
    """
    outcome(code, passed=6)


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("5", "uapi_machine(name, profile=None)"),
        ("profile=6.1", "uapi_machine(name, profile=None)"),
        ('"nope"', 'there is no machine "nope"; known: '),
        ('"spr-1s", profile="2.4"', 'there is no profile "2.4"; known: '),
        ('"spr-1s", kernel="6.1"', "uapi_machine(name, profile=None)"),
    ],
)
def test_a_wrong_machine_is_one_line(outcome, marker, message):
    code = f"""
        import pytest

        @pytest.mark.uapi_machine({marker})
        def test_it(uapi_machine):
            pass
    """
    result = outcome(code, errors=1)
    result.stdout.fnmatch_lines([f"*{message.replace('[', '[[]')}*"])
    assert "Traceback" not in result.stdout.str()


LACKING = """
    import pytest
    import harness.doctor

    @pytest.fixture(autouse=True)
    def lacking(monkeypatch):
        monkeypatch.setattr(harness.doctor, "missing_for_process_mount", lambda: "no /dev/fuse")

    def test_it(lacking, uapi_run):
        pass
"""


def test_what_the_host_lacks_is_the_reason_of_a_skip(outcome, monkeypatch):
    monkeypatch.delenv("UAPI_STRICT", raising=False)
    result = outcome(LACKING, "-rs", skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*no /dev/fuse"])


@pytest.mark.parametrize("how", ["option", "setting", "environment"])
def test_strict_fails_instead(outcome, pytester, monkeypatch, how):
    monkeypatch.delenv("UAPI_STRICT", raising=False)
    if how == "setting":
        pytester.makeini("[pytest]\nuapi_strict = true\n")
    if how == "environment":
        monkeypatch.setenv("UAPI_STRICT", "1")
    result = outcome(LACKING, *(["--uapi-strict"] if how == "option" else []), errors=1)
    result.stdout.fnmatch_lines(["*no /dev/fuse (strict: not skipped)"])


def test_a_file_that_stays_open_fails_the_test(outcome):
    code = """
        from harness.kernel.task import LocalCaller

        def test_it(uapi_run):
            kernel, caller = uapi_run.machine.kernel, LocalCaller()
            node = kernel.walk(caller, "/sys/bus/dsa/devices/dsa0/state")
            kernel.call(caller, "open", node, 0)
    """
    result = outcome(code, passed=1, errors=1)
    result.stdout.fnmatch_lines(["*still open after all programs ended: /sys/*/dsa0/state"])


def test_workers_do_not_disturb_one_another(outcome):
    code = """
        import pytest

        @pytest.mark.parametrize("size", range(1, 9))
        def test_it(uapi_run, size):
            path = "/sys/bus/dsa/devices/wq0.0/size"
            uapi_run(["sh", "-c", f"echo {size} >{path}"], check=True)
            assert uapi_run(["cat", path]).stdout == f"{size}\\n"
    """
    outcome(code, "-n", "2", passed=8)


def test_code_of_the_test_itself(outcome):
    code = """
        import os
        import pathlib

        import pytest

        def test_files(uapi_inprocess, uapi_machine):
            path = pathlib.Path("/sys/bus/dsa/devices/dsa0/wq0.0/size")
            path.write_text("8")
            assert uapi_machine.read(str(path)) == "8\\n"

        @pytest.mark.uapi_machine("gnr-1s")
        def test_marked(uapi_inprocess):
            assert open("/sys/bus/dsa/devices/dsa0/version").read() == "0x200\\n"

        def test_without():
            assert not os.path.exists("/sys/bus/dsa/devices/dsa0")
    """
    outcome(code, passed=3)


def test_a_file_left_open_in_this_process_fails_the_test(outcome):
    code = """
        import os

        def test_leak(uapi_inprocess):
            os.open("/sys/bus/dsa/devices/dsa0/state", os.O_RDONLY)
    """
    result = outcome(code, passed=1, errors=1)
    result.stdout.fnmatch_lines(["*still open: /sys/devices/*/dsa0/state*"])


def test_programs_of_this_process_skip_where_they_cannot_run(outcome, monkeypatch):
    monkeypatch.delenv("UAPI_STRICT", raising=False)
    code = """
        import subprocess
        from harness.mounts.process import MountError, ProcessMount

        def test_program(uapi_inprocess, monkeypatch):
            def refuse(mount):
                raise MountError("no /dev/fuse")
            monkeypatch.setattr(ProcessMount, "__enter__", refuse)
            subprocess.run(["true"])
    """
    outcome(code, "-p", "no:cacheprovider", skipped=1)
    outcome(code, "--uapi-strict", failed=1)
