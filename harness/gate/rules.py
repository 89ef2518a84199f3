# SPDX-License-Identifier: Apache-2.0
"""The rules by which the gate judges, as a table. ``docs/gate-rules.md`` is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from attrs import frozen


class Verdict(StrEnum):
    """What a change means for programs that work now."""

    BREAKING = "breaking"
    RISKY = "risky"
    UNKNOWN = "unknown"
    COMPATIBLE = "compatible"


#: From the worst to the best.
ORDER = tuple(Verdict)


@frozen
class Rule:
    """One kind of change. ``example`` shows it, ``reason`` says why the verdict is what it is."""

    id: str
    verdict: Verdict
    title: str
    example: str
    reason: str


def _rules(verdict: Verdict, *rules: tuple[str, str, str, str]) -> Iterable[Rule]:
    return (Rule(id, verdict, title, example, reason) for id, title, example, reason in rules)


_HEADERS = (
    *_rules(
        Verdict.BREAKING,
        (
            "header-removed",
            "A header is gone",
            "`linux/raw.h` is no longer installed",
            "Programs that include it do not compile. What it defined is not listed one by one.",
        ),
        (
            "header-broken",
            "A header no longer compiles by itself",
            "a new member has a type of a header that is not included",
            "Programs that include it do not compile until they are changed.",
        ),
        (
            "constant-removed",
            "A constant or enumerator is gone",
            "`VFIO_TYPE1_NESTING_IOMMU` was removed",
            "Programs that name it do not compile, even if the kernel never did anything with it.",
        ),
        (
            "constant-changed",
            "A constant has another value",
            "`#define VFIO_PCI_ERR_IRQ_INDEX 3` becomes 4",
            "The old number is in programs that were compiled before.",
        ),
        (
            "flag-moved",
            "A flag is another bit",
            "`VFIO_DEVICE_FLAGS_PCI` was `1 << 1` and is `1 << 2`",
            "Old programs set and test a bit that means something else now, or nothing.",
        ),
        (
            "mask-shrank",
            "A mask has lost bits",
            "`VFIO_IRQ_SET_DATA_TYPE_MASK` is without its third bit",
            "What old programs find or put in the lost bits is no longer there.",
        ),
        (
            "limit-lowered",
            "The number or highest of something is lower",
            "`VFIO_PCI_NUM_REGIONS` was 9 and is 8",
            "Something that programs could count on is no longer counted.",
        ),
        (
            "value-reused",
            "The value of a name that has gone or moved has got another name",
            "`FLAG_A` was `1 << 3`; it has gone, and `FLAG_B` is `1 << 3`",
            "Old programs that pass the value mean the old thing. If it is the same thing under a "
            "new name, the old name must stay as an alias.",
        ),
        (
            "kind-changed",
            "A name is another kind of thing",
            "a command became a plain number, or a number a string",
            "What programs do with the name no longer compiles, or does something else.",
        ),
        (
            "string-changed",
            "A string is another one",
            '`VFIO_DEVICE_API_PCI_STRING` is "vfio-pci2"',
            "Programs compare with the old text, or look for a file of that name.",
        ),
        (
            "string-removed",
            "A string is gone",
            "`VFIO_DEVICE_API_PCI_STRING` was removed",
            "Programs that name it do not compile.",
        ),
        (
            "macro-removed",
            "A macro is gone",
            "`PCI_EXT_CAP_ID(header)` was removed",
            "Programs that use it do not compile.",
        ),
        (
            "typedef-removed",
            "A typedef is gone",
            "`typedef __u32 foo_t` was removed",
            "Programs that use it do not compile.",
        ),
        (
            "ioctl-removed",
            "A command is gone",
            "`VFIO_IOMMU_SPAPR_TCE_CREATE` was removed",
            "Programs that name it do not compile, and the kernel no longer answers old ones.",
        ),
        (
            "ioctl-number-changed",
            "A command has another number",
            "`VFIO_DEVICE_RESET` was `_IO(';', 111)` and is `_IO(';', 112)`",
            "Old programs send the old number: an error at best, another command at worst.",
        ),
        (
            "ioctl-direction-changed",
            "A command has another direction in its number",
            "`_IOW` became `_IOWR`",
            "The direction is part of the number, so old programs send a number nobody knows.",
        ),
        (
            "ioctl-size-changed",
            "The size in a command's number has changed",
            "`_IOW('x', 1, struct s)`, and `struct s` has grown",
            "The size is part of the number, so old programs send a number that the kernel knows "
            "only if it was taught the old one, too.",
        ),
        (
            "ioctl-number-reused",
            "A command has the number that another one had",
            "`X_STOP` was removed or moved, and `X_PURGE` has its number",
            "Old programs that stop will purge.",
        ),
        (
            "ioctl-number-taken",
            "Two commands of one family have one number",
            "the new `VFIO_DEVICE_FOO` has the number of `VFIO_DEVICE_RESET`",
            "The same file cannot tell them apart.",
        ),
        (
            "struct-removed",
            "A struct or union is gone",
            "`struct vfio_device_migration_info` was removed",
            "Programs that use it do not compile.",
        ),
        (
            "struct-grown",
            "A struct without its own size in it has grown",
            "a field was added behind the last one of a struct without `argsz`",
            "Old programs hand over less memory than the kernel now reads or fills, and every "
            "array of it and struct around it is laid out anew.",
        ),
        (
            "struct-shrunk",
            "A struct is smaller",
            "a field was removed from the end, or `packed` was added",
            "Arrays of it and structs around it are laid out anew; its last bytes mean nothing.",
        ),
        (
            "field-removed",
            "A field is gone",
            "`struct vfio_device_info` is without `num_irqs`",
            "Programs that name it do not compile, and old ones use what is there now.",
        ),
        (
            "field-renamed",
            "A field has another name",
            "`num_irqs` became `nr_irqs`",
            "Old binaries work, but no program that names it compiles. A union without a name "
            "can have both names.",
        ),
        (
            "field-moved",
            "A field is at another place",
            "a field was put in before it, or two were swapped",
            "Old programs read and write where it was.",
        ),
        (
            "field-size-changed",
            "A field is wider or narrower",
            "`__u16 len` became `__u32 len`",
            "Old programs write some of its bytes only, or write over its neighbour.",
        ),
        (
            "field-type-changed",
            "A field of the same size is something else",
            "`__u32` became `float`, or `__le32` became `__be32`",
            "The bits that old programs put there mean another value.",
        ),
    ),
    *_rules(
        Verdict.RISKY,
        (
            "mask-grew",
            "A mask has got more bits",
            "`FLAGS_ALL` includes a new flag",
            "Programs that were compiled before ignore or refuse the new bits; new programs pass "
            "bits that old kernels refuse.",
        ),
        (
            "name-moved",
            "A name is in another header now",
            "`struct foo` went from `linux/a.h` to `linux/b.h`",
            "Compiles on only where the old header includes the new one.",
        ),
        (
            "flag-shared",
            "A new flag has the bit of another flag of its family",
            "`VFIO_DEVICE_FLAGS_NEW` is `1 << 0`, as `VFIO_DEVICE_FLAGS_RESET`",
            "Good as an alias; otherwise the kernel cannot tell which is meant.",
        ),
        (
            "padding-reused",
            "Padding or a reserved field has become a field",
            "`__u32 __reserved` became `__u32 timeout`",
            "Programs that never set it to zero pass garbage, and the kernel cannot tell unless it "
            "always refused anything but zero.",
        ),
        (
            "field-sign-changed",
            "A field has or has not got a sign now",
            "`__u32 offset` became `__s32 offset`",
            "Same bits, but the high half of the values means something else, and comparisons "
            "compile to something else.",
        ),
        (
            "field-annotation-changed",
            "A field's byte order was, or is no longer, part of its type",
            "`__u32` became `__le32`",
            "The bits are the same on little-endian machines only.",
        ),
        (
            "alignment-changed",
            "A struct has another alignment and the same layout",
            "`packed` was added to a struct without holes",
            "Structs around it may be laid out anew, and atomic accesses may become none.",
        ),
    ),
    *_rules(
        Verdict.UNKNOWN,
        (
            "macro-changed",
            "A macro that is no constant expands to something else",
            "`PCI_EXT_CAP_NEXT(header)` masks other bits",
            "What it does for programs is for a person to say.",
        ),
        (
            "typedef-changed",
            "A typedef stands for something else",
            "`typedef __u32 foo_t` became `typedef __u64 foo_t`",
            "Fields that have it are judged for themselves; what else has it is not known.",
        ),
        (
            "header-unread",
            "A header that could be read never was, or not before",
            "the older snapshot skipped it",
            "There is nothing to compare with.",
        ),
    ),
    *_rules(
        Verdict.COMPATIBLE,
        ("header-added", "A header is new", "`linux/iommufd.h`", "Nobody includes it yet."),
        ("constant-added", "A constant is new", "a new flag or enumerator", "Nobody uses it yet."),
        (
            "limit-raised",
            "The number or highest of something is higher",
            "`VFIO_PCI_NUM_REGIONS` grows; `__FOO_MAX` behind a new enumerator",
            "Such names exist to move. Old programs know of the old ones only. An array in a "
            "struct that is as long is judged for itself.",
        ),
        ("string-added", "A string is new", "another device API string", "Nobody uses it yet."),
        ("macro-added", "A macro is new", "a helper", "Nobody uses it yet."),
        ("ioctl-added", "A command is new", "`VFIO_DEVICE_FEATURE`", "Nobody sends it yet."),
        ("struct-added", "A struct or union is new", "that of a new command", "Nobody has one."),
        ("typedef-added", "A typedef is new", "`typedef __u32 foo_t`", "Nobody uses it yet."),
        (
            "typedef-untagged",
            "A typedef is the only name of a struct now, or no longer is",
            "`typedef struct foo {...} foo_t` lost the `foo`",
            "Programs go on by the typedef's name. The tag is judged for itself.",
        ),
        (
            "struct-grown-argsz",
            "A struct that begins with its own size has grown at its end",
            "a field behind the last one of `struct vfio_device_info`",
            "VFIO and iommufd compare `argsz` or `size` with what they know, so old programs get "
            "the old part, and `flags` says what is valid.",
        ),
        (
            "struct-grown-capability",
            "A capability of a chain has grown at its end",
            "a field behind the last one of `struct vfio_device_info_cap_zpci_base`",
            "The kernel writes it, programs go on by the header's `next`, never by its size, and "
            "`version` says what is valid.",
        ),
        (
            "padding-reused-by-flag",
            "Padding has become a field where flags or a version say whether it is valid",
            "`pad` became `cap_offset`, valid with `VFIO_IOMMU_INFO_CAPS`",
            "In a struct with `argsz` and `flags` such a field counts only with a flag that old "
            "programs neither set nor look at; in a capability, only from a `version` on.",
        ),
        (
            "union-member-added",
            "A field is new where others are",
            "another member in a union",
            "The old members are where they were, and nothing has grown.",
        ),
        (
            "tail-added",
            "A flexible array is new at the end",
            "`__u8 data[]` behind the last field",
            "It takes no room; programs that know of none pass none.",
        ),
        (
            "tail-made-flexible",
            "An array of no element has become a flexible one",
            "`__u32 data[0]` became `__u32 data[]`",
            "The same layout in today's C.",
        ),
        (
            "field-type-renamed",
            "A field's type has another name or spelling",
            "`unsigned int` became `__u32`",
            "Same size, same sign, same bits.",
        ),
        (
            "reserved-renamed",
            "A reserved field has another name, or is split or joined",
            "`__u32 pad` became `__u32 __reserved`",
            "Nobody may use it, so nobody does.",
        ),
        (
            "ioctl-number-shared",
            "A new command has the number of one of another family",
            "`VFIO_DEVICE_BIND_IOMMUFD` and `VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY`",
            "Each family is for another kind of file, which tells them apart.",
        ),
    ),
)

_SYSFS = (
    *_rules(
        Verdict.BREAKING,
        (
            "node-removed",
            "A file, link or directory is gone",
            "`/sys/bus/dsa/devices/wq<n>.<n>/ats_disable` was removed",
            "Programs get ENOENT.",
        ),
        (
            "node-kind-changed",
            "A node is another kind of node",
            "a file became a directory",
            "What programs do with it fails.",
        ),
        (
            "mode-lost",
            "A node lost a permission",
            "0644 became 0444, or 0444 became 0400",
            "Who may open it now gets EACCES.",
        ),
        (
            "format-changed",
            "A file has another format",
            "`0x%x` became `%d`",
            "Programs parse the old one.",
        ),
        (
            "value-removed",
            "A value is no longer taken",
            "`state` no longer takes `disabled`",
            "Programs that write it get EINVAL.",
        ),
        (
            "node-withdrawn",
            "The ABI documents have a node among the removed ones",
            "moved from `stable` to `removed`",
            "That is what it says.",
        ),
    ),
    *_rules(
        Verdict.RISKY,
        (
            "node-conditional",
            "A node that every device had is there for some only",
            "the kernel hides `ats_disable` where the device cannot do it",
            "Programs that take it for granted fail on some machines.",
        ),
        (
            "node-obsolete",
            "The ABI documents have a node among the obsolete ones",
            "moved from `testing` to `obsolete`",
            "It will be removed; programs should stop using it.",
        ),
    ),
    *_rules(
        Verdict.UNKNOWN,
        (
            "format-unknown",
            "What a file looks like is known in one snapshot only",
            "no device had a value",
            "There is nothing to compare with.",
        ),
        (
            "values-unknown",
            "What a file takes is known in one snapshot only",
            "the document no longer lists values",
            "There is nothing to compare with.",
        ),
    ),
    *_rules(
        Verdict.COMPATIBLE,
        ("node-added", "A node is new", "a new attribute", "Nobody uses it yet."),
        ("mode-gained", "A node got a permission", "0444 became 0644", "What worked works."),
        ("value-added", "A value is newly taken", "another mode", "What was taken still is."),
        (
            "node-general",
            "A node that some devices had is there for all",
            "no longer hidden",
            "Programs already know both cases.",
        ),
        (
            "node-promoted",
            "The ABI documents promise a node more than before",
            "moved from `testing` to `stable`",
            "What worked works.",
        ),
    ),
)

_BEHAVIOURS = (
    *_rules(
        Verdict.BREAKING,
        (
            "behaviour-errno-changed",
            "A call that failed fails with another errno",
            "a write to a configured queue gave EPERM and gives EROFS",
            "Programs tell errors apart by errno.",
        ),
        (
            "behaviour-changed",
            "What happened in a case does not happen any more",
            "the case passed and fails",
            "Something that programs can see is different.",
        ),
    ),
    *_rules(
        Verdict.UNKNOWN,
        (
            "behaviour-gone",
            "A case is not among the new ones",
            "the case is about older kernels only",
            "Nobody asked the new kernel.",
        ),
        (
            "behaviour-unjudged",
            "A case could be run on one side only",
            "the newer kernel has no device for it",
            "There is nothing to compare with.",
        ),
    ),
    *_rules(
        Verdict.COMPATIBLE,
        ("behaviour-added", "A case is new", "a new attribute's", "Nothing to compare with."),
        (
            "behaviour-error-gone",
            "An error is no longer given, or was but that of something that was not there",
            "reading `driver_name` gave ENOENT and works",
            "What failed works. Who asks whether there is something gets the new answer.",
        ),
        (
            "behaviour-restored",
            "What failed, or was known to differ, is as expected now",
            "the case failed and passes",
            "The expectation is what programs were written for.",
        ),
    ),
)

#: Findings about the policy itself.
_POLICY = _rules(
    Verdict.RISKY,
    (
        "suppression-unused",
        "A suppression is for nothing that was found",
        "the change it was made for was taken back",
        "It would hide the next change of that subject.",
    ),
    (
        "suppression-expired",
        "A suppression has expired",
        "`expires: 2026-01-31`, and it is February",
        "What it hides must be looked at again; it hides nothing until then.",
    ),
)

RULES: Mapping[str, Rule] = {rule.id: rule for rule in (*_HEADERS, *_SYSFS, *_BEHAVIOURS, *_POLICY)}
