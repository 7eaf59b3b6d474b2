"""The sandbox of code that isn't trusted, in tiers, each proved by a self-test before it is believed.

| tier       | what holds                                                                                          |
|------------|-----------------------------------------------------------------------------------------------------|
| bubblewrap | own namespaces (no network, no other process, only named files exist), and all of the next          |
| landlock   | named files only, no sockets, no new processes, no signals, limits, a clean environment, no rights  |
| none       | nothing: only for code that is part of Foundry                                                      |

`confine(policy)` is for a process that was forked warm, `wrap(argv, policy)` for one that is started. May not: judge.
"""

from __future__ import annotations

from foundry.sandbox.bubblewrap import wrap
from foundry.sandbox.confinement import confine
from foundry.sandbox.policy import Policy, accelerator_devices, contestant_policy, passed_on
from foundry.sandbox.tier import TIERS, Tier, probe, require
from foundry.sandbox.usage import Usage, usage

__all__ = [
    "TIERS",
    "Policy",
    "Tier",
    "Usage",
    "accelerator_devices",
    "confine",
    "contestant_policy",
    "passed_on",
    "probe",
    "require",
    "usage",
    "wrap",
]
