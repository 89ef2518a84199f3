# SPDX-License-Identifier: Apache-2.0
"""Recorded trees of sysfs: comparing them with machines, and putting them into a file system."""

import json
from fnmatch import fnmatchcase

from harness import data

#: What is compared of each machine: all that a driver of ours makes.
SCOPES = {
    "q35": (
        "/sys/bus/mdev/*",
        "/sys/bus/pci",
        "/sys/bus/pci/drivers",
        "/sys/bus/pci/drivers/vfio-pci/*",
        "/sys/bus/pci/slots",
        "/sys/class/iommu/*",
        "/sys/devices/pci0000:00/0000:*",
        "/sys/kernel/iommu_groups/*",
        "/sys/module/mdev/*",
        "/sys/module/vfio/*",
        "/sys/module/vfio_iommu_type1/*",
        "/sys/module/vfio_pci/*",
    ),
    "q35-dsa": (
        "/sys/bus/dsa/*",
        "/sys/bus/pci/drivers/idxd/*",
        "/sys/bus/pci/slots",
        "/sys/devices/pci0000:00/0000:*",
        "/sys/module/idxd/*",
        "/sys/module/idxd_bus/*",
    ),
}


def recorded_tree(name):
    """The document fixtures/trees/NAME.json: ``kernel``, and ``nodes`` by path."""
    return json.loads(data.data_path("fixtures", "trees", f"{name}.json").read_text())


def known_differences(name):
    """Patterns of paths that are known to differ, with reasons."""
    return data.load_yaml(data.data_path("fixtures", "known-differences.yaml"))["trees"][name]


def listed(shown, recorded):
    """What is shown, and of directories that were recorded by the names in them alone, those."""
    result = dict(shown)
    for path, node in recorded.items():
        if node.get("dir"):
            below = [inner for inner in shown if inner.startswith(f"{path}/")]
            result[path] = {
                "dir": sorted({inner[len(path) + 1 :].split("/")[0] for inner in below})
            }
    return result


def differences(shown, recorded, scopes):
    """Paths that differ, with what is shown and what was recorded; None for what is not there."""
    shown = listed(shown, recorded)
    paths = [path for path in {*recorded, *shown} if any(fnmatchcase(path, s) for s in scopes)]
    return {
        path: (shown.get(path), recorded.get(path))
        for path in sorted(paths)
        if shown.get(path) != recorded.get(path)
    }


def unknown_differences(differing, known):
    """Those that no known pattern is of."""
    patterns = [entry["path"] for entry in known]
    return {
        path: pair
        for path, pair in differing.items()
        if not any(fnmatchcase(path, pattern) for pattern in patterns)
    }


def materialise(nodes, folder, kernel=None):
    """The tree as files and links below ``folder``, as ``cp -a`` would leave it.

    What could not be read is an empty file. ``kernel`` goes where /proc has the release.
    """
    for path, node in nodes.items():
        place = folder / path.lstrip("/")
        if "dir" in node:
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if "link" in node:
            place.symlink_to(node["link"])
        else:
            text = node.get("text", "")
            place.write_bytes(bytes.fromhex(node["hex"]) if "hex" in node else text.encode())
    if kernel is not None:
        release = folder / "proc" / "sys" / "kernel" / "osrelease"
        release.parent.mkdir(parents=True)
        release.write_text(f"{kernel}\n")
