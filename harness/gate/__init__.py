# SPDX-License-Identifier: Apache-2.0
"""The gate: two snapshots of a uAPI become findings, each with a verdict.

Headers, ABI documents, machines and results of cases become snapshots (:mod:`sources`); ``judge``
compares two of them by the rules of :mod:`rules`.
"""
