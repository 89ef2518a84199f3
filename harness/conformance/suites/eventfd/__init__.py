# SPDX-License-Identifier: Apache-2.0
"""Eventfds. Those of the model's own tasks are the model's, those of programs the host's.

So there is no case for what kernels differ in: writes of more than eight bytes.
"""
