# SPDX-License-Identifier: Apache-2.0
"""Suppressions: what they hide, when they end, and that they must hide something."""

import datetime

import pytest

from harness.gate.errors import GateError
from harness.gate.findings import Finding
from harness.gate.policy import load_policy

TODAY = datetime.date(2026, 11, 27)
GONE = Finding("constant-removed", "LAMP_OLD", "it is gone", "linux/lamp.h")
POLICY = """\
schema: 1
suppressions:
  - rule: constant-removed
    subject: {subject}
    reason: no kernel ever did anything with it
    expires: {expires}
"""


@pytest.fixture
def policy(tmp_path):
    def policy(text=None, subject="LAMP_OLD", expires="2026-11-27"):
        path = tmp_path / "policy.yaml"
        path.write_text(text or POLICY.format(subject=subject, expires=expires))
        return load_policy(path)

    return policy


@pytest.mark.parametrize("subject", ["LAMP_OLD", "LAMP_*", "'*'"])
def test_it_hides_what_it_names_until_the_end_of_its_day(policy, subject):
    standing, passed, complaints = policy(subject=subject).apply([GONE], TODAY)
    assert (standing, complaints) == ([], [])
    assert [finding for finding, _ in passed] == [GONE]


def test_expired(policy):
    standing, passed, complaints = policy(expires="2026-11-26").apply([GONE], TODAY)
    assert (standing, passed) == ([GONE], [])
    assert [one.rule_id for one in complaints] == ["suppression-expired"]
    assert complaints[0].line == 3


@pytest.mark.parametrize("subject", ["LAMP", "lamp_old", "LAMP_OLDER"])
def test_unused(policy, subject):
    standing, passed, complaints = policy(subject=subject).apply([GONE], TODAY)
    assert (standing, passed) == ([GONE], [])
    assert [one.rule_id for one in complaints] == ["suppression-unused"]


def test_another_rule_is_not_hidden(policy):
    other = Finding("constant-changed", "LAMP_OLD", "1 became 2")
    assert policy().apply([other], TODAY)[0] == [other]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("schema: 3\n", "policy.yaml:1: no policy: it begins with schema: 1"),
        ("[]\n", "policy.yaml:1: no policy: it begins with schema: 1"),
        (POLICY.format(subject="x", expires="soon"), "policy.yaml:6: suppressions[0].expires: "),
        (POLICY.format(subject="x", expires="soon"), "expected a date such as 2027-06-30"),
        (
            POLICY.format(subject="x", expires="2026-01-01").replace(
                "    exp", "    why: x\n    exp"
            ),
            "policy.yaml:6: suppressions[0]: unknown key why; allowed: rule, subject, reason, ",
        ),
        (
            POLICY.format(subject="x", expires="2026-01-01").replace("    reason: no", "    # no"),
            "reason",
        ),
        (
            POLICY.format(subject="x", expires="2026-01-01").replace("-removed", "-vanished"),
            "policy.yaml:3: there is no rule 'constant-vanished'",
        ),
        (
            "schema: 1\nsuppressions: 5\n",
            "policy.yaml:2: suppressions: invalid value for type, expected a list",
        ),
        ("schema: 1\nsuppressions: [5]\n", "suppressions[0]: expected a mapping"),
        (
            POLICY.format(subject="x", expires="2027-01-01").replace("reason: no", "reason: #"),
            "suppressions[0].reason: invalid value for type, expected text",
        ),
    ],
)
def test_bad_policy(policy, text, said):
    with pytest.raises(GateError) as caught:
        policy(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
