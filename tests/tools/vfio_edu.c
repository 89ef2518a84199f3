// SPDX-License-Identifier: Apache-2.0
// vfio_edu ADDRESS: use QEMU's device edu from end to end, with the system's headers and no library.
//
// Opens it through container and group, lets it write to our memory and read from it by DMA, is told
// by MSI, tries what is outside its mapping, and prints what it saw. Exit status 1 and one line at
// the first call that fails.
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define IOVA 0x100000
/* registers of BAR 0; its own memory, as its DMA addresses it */
enum { IDENTITY = 0, LIVENESS = 4, FACTORIAL = 8, STATUS = 0x24, RAISE = 0x60, ACKNOWLEDGE = 0x64 };
enum { SOURCE = 0x80, DESTINATION = 0x88, COUNT = 0x90, COMMAND = 0x98, BUFFER = 0x40000 };
enum { START = 1, TO_MEMORY = 2, INTERRUPT = 4 };

static int container, group, device, event;
static uint64_t bar, config;
static unsigned char *memory;

static int check(const char *what, long result)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
	return result;
}

static void require(const char *what, int holds)
{
	if (!holds) {
		fprintf(stderr, "not so: %s\n", what);
		exit(1);
	}
}

static void open_group(const char *address)
{
	char path[PATH_MAX], target[PATH_MAX];
	struct vfio_group_status status = { .argsz = sizeof(status) };

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", address);
	target[check(path, readlink(path, target, sizeof(target) - 1))] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%s", basename(target));
	container = check("/dev/vfio/vfio", open("/dev/vfio/vfio", O_RDWR));
	require("API version", ioctl(container, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
	require("type 1 v2", ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) == 1);
	group = check(path, open(path, O_RDWR));
	check("VFIO_GROUP_GET_STATUS", ioctl(group, VFIO_GROUP_GET_STATUS, &status));
	require("the group is viable", status.flags == VFIO_GROUP_FLAGS_VIABLE);
	check("VFIO_GROUP_SET_CONTAINER", ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
	check("VFIO_SET_IOMMU", ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
}

static uint64_t region(int index, uint64_t *size)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };

	check("VFIO_DEVICE_GET_REGION_INFO", ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info));
	*size = info.size;
	return info.offset;
}

static void open_device(const char *address)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	uint64_t bar_size, config_size;
	uint16_t command;

	device = check("VFIO_GROUP_GET_DEVICE_FD", ioctl(group, VFIO_GROUP_GET_DEVICE_FD, address));
	check("VFIO_DEVICE_GET_INFO", ioctl(device, VFIO_DEVICE_GET_INFO, &info));
	bar = region(VFIO_PCI_BAR0_REGION_INDEX, &bar_size);
	config = region(VFIO_PCI_CONFIG_REGION_INDEX, &config_size);
	printf("device %u regions %u irqs, bar 0x%llx config 0x%llx\n", info.num_regions, info.num_irqs,
	       (unsigned long long)bar_size, (unsigned long long)config_size);
	check("read command", pread(device, &command, 2, config + 4));
	command |= 6; /* memory and bus master */
	check("write command", pwrite(device, &command, 2, config + 4));
}

static uint32_t get(uint64_t offset)
{
	uint32_t value;

	require("a word", pread(device, &value, 4, bar + offset) == 4);
	return value;
}

static void put(uint64_t offset, uint32_t value)
{
	require("a word stored", pwrite(device, &value, 4, bar + offset) == 4);
}

static void irqs(uint32_t flags, uint32_t count, int fd)
{
	char room[sizeof(struct vfio_irq_set) + 4];
	struct vfio_irq_set *set = (void *)room;

	set->argsz = sizeof(*set) + 4 * count;
	set->flags = flags | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = VFIO_PCI_MSI_IRQ_INDEX;
	set->start = 0;
	set->count = count;
	memcpy(set->data, &fd, 4);
	check("VFIO_DEVICE_SET_IRQS", ioctl(device, VFIO_DEVICE_SET_IRQS, set));
}

/* Wait for interrupts; how many there were. */
static int interrupts(void)
{
	struct pollfd wanted = { .fd = event, .events = POLLIN };
	eventfd_t count;

	require("an interrupt within 10 seconds", poll(&wanted, 1, 10000) == 1);
	check("read eventfd", eventfd_read(event, &count));
	return count;
}

static void transfer(uint32_t command, uint64_t source, uint64_t destination, uint32_t count)
{
	put(SOURCE, source);
	put(DESTINATION, destination);
	put(COUNT, count);
	put(COMMAND, command | START | INTERRUPT);
	require("one interrupt", interrupts() == 1);
	require("DMA is done", get(STATUS) == 0x100);
	put(ACKNOWLEDGE, 0x100);
}

static void map(void)
{
	struct vfio_iommu_type1_dma_map request = {
		.argsz = sizeof(request),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.iova = IOVA,
		.size = 2 * PAGE,
	};

	memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	require("memory", memory != MAP_FAILED);
	request.vaddr = (uintptr_t)memory;
	check("VFIO_IOMMU_MAP_DMA", ioctl(container, VFIO_IOMMU_MAP_DMA, &request));
}

static void unmap(void)
{
	struct vfio_iommu_type1_dma_unmap request = {
		.argsz = sizeof(request), .iova = IOVA, .size = 2 * PAGE
	};

	check("VFIO_IOMMU_UNMAP_DMA", ioctl(container, VFIO_IOMMU_UNMAP_DMA, &request));
	printf("unmapped 0x%llx\n", (unsigned long long)request.size);
}

static void use_dma(void)
{
	for (int i = 0; i < PAGE; i++)
		memory[i] = i * 7 + i / 256;
	transfer(0, IOVA, BUFFER, PAGE);
	transfer(TO_MEMORY, BUFFER, IOVA + PAGE, PAGE);
	require("what came back is what went", !memcmp(memory, memory + PAGE, PAGE));
	memset(memory, 0xaa, PAGE);
	transfer(TO_MEMORY, BUFFER, IOVA + 2 * PAGE, 16); /* outside: a fault, and nothing written */
	require("nothing was written", memory[0] == 0xaa && memory[PAGE + 15] == 15 * 7);
	printf("a page to the device and back\n");
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	open_group(argv[1]);
	open_device(argv[1]);
	event = check("eventfd", eventfd(0, EFD_CLOEXEC));
	map();
	irqs(VFIO_IRQ_SET_DATA_EVENTFD, 1, event);
	put(LIVENESS, 0x12345678);
	require("liveness", get(LIVENESS) == ~0x12345678u);
	put(FACTORIAL, 10);
	printf("edu %08x, 10! is %u\n", get(IDENTITY), get(FACTORIAL));
	put(RAISE, 0x10);
	require("the interrupt raised", interrupts() == 1 && get(STATUS) == 0x10);
	put(ACKNOWLEDGE, 0x10);
	use_dma();
	unmap();
	irqs(VFIO_IRQ_SET_DATA_NONE, 0, 0);
	put(COMMAND, START | TO_MEMORY | INTERRUPT); /* there is nobody to tell, and no memory */
	printf("done as user %d\n", getuid());
	return 0;
}
