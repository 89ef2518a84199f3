#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Packs what `uapi-harness record --from FILE` reads, for hosts without it: sh pack.sh > FILE
# Needs od (or hexdump), tr, stat, readlink and grep, as busybox has them. Nothing is masked here.
LC_ALL=C
export LC_ALL

hex() {
    if command -v od >/dev/null; then od -An -v -tx1; else hexdump -v -e '1/1 "%02x"'; fi |
        tr -d ' \n'
}

folder() { [ -d "$1" ] && echo "D $1"; }

link() { [ -h "$1" ] && echo "L $1 -> $(readlink "$1")"; }

file() { # what cannot be read is "-"
    for path; do
        [ -f "$path" ] || continue
        content=$(hex 2>/dev/null <"$path")
        echo "F $(stat -c %s "$path" 2>/dev/null || echo 0) ${content:--} $path"
    done
}

accelerator() {
    for name in version gen_cap op_cap iaa_cap dsacaps pasid_enabled max_read_buffers \
        max_work_queues max_work_queues_size max_engines max_groups; do
        file "$1/$name"
    done
    for inner in "$1"/wq*; do
        folder "$inner"
        for name in occupancy ats_disable op_config prs_disable; do file "$inner/$name"; done
    done
    for inner in "$1"/group*; do
        folder "$inner"
        file "$inner/desc_progress_limit"
    done
}

types() {
    for type in "$1"/mdev_supported_types/*; do
        folder "$type/devices"
        for name in available_instances description device_api name; do file "$type/$name"; done
    done
}

function_directory() {
    for name in vendor device subsystem_vendor subsystem_device class revision numa_node \
        local_cpulist irq resource config iommu/intel-iommu/ecap; do
        file "$1/$name"
    done
    for name in driver firmware_node iommu iommu_group; do link "$1/$name"; done
    for inner in "$1"/dsa[0-9]* "$1"/iax[0-9]*; do accelerator "$inner"; done
    for inner in "$1"/msi_irqs/*; do file "$inner"; done
    types "$1"
}

echo "uapi-harness recording 1"
file /proc/sys/kernel/osrelease
flags=$(grep -m1 '^flags' /proc/cpuinfo) &&
    echo "F ${#flags} $(printf '%s' "$flags" | hex) /proc/cpuinfo"
for node in /sys/devices/system/node/node[0-9]*; do file "$node/cpulist"; done
for module in @MODULES@; do
    folder "/sys/module/$module"
    file "/sys/module/$module/srcversion"
done
for group in /sys/kernel/iommu_groups/*; do file "$group/type"; done
for driver in /sys/bus/pci/drivers/*; do folder "$driver"; done
for slot in /sys/bus/pci/slots/*; do file "$slot/address"; done
folder /sys/bus/pci/devices
for device in /sys/bus/pci/devices/*; do
    link "$device" && function_directory "$(readlink -f "$device")"
done
for parent in /sys/class/mdev_bus/*; do
    link "$parent" && types "$(readlink -f "$parent")"
done
echo "end"
