# SPDX-License-Identifier: Apache-2.0
"""The system-call agent: makes a case's system calls inside a target (docs/agent-protocol.md)."""
