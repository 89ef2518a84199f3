/* SPDX-License-Identifier: Apache-2.0 */
/* vfio MODE: for each number N read from stdin, do the operation N times, then answer a line.
 *
 * Modes: version (an ioctl without a struct, on a container), info (one with a struct, on a device),
 * config (pread of 4 bytes of the device's config space), nothing, nothing_struct, nothing_read (the
 * same on empty.py's /dev/empty), memfd (the same pread of a memfd), type1 (map one more page),
 * type1_cycle (map a page and unmap it), iommufd and iommufd_anywhere (map one more page where we or
 * the kernel say). For "full", there has to be no room for one more mapping.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define ADDRESS "0000:00:05.0"
#define GROUP "/dev/vfio/3"
#define CDEV "/dev/vfio/devices/vfio0"
/* linux/iommufd.h, which is not in every system's headers yet */
#define IOAS_ALLOC _IO(';', 0x81)
#define IOAS_MAP _IO(';', 0x85)
#define BIND_IOMMUFD _IO(VFIO_TYPE, VFIO_BASE + 18)
#define ATTACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 19)
#define MAP_FIXED_IOVA 1
#define MAP_WRITEABLE 2
#define MAP_READABLE 4

static int container, group, device, iommufd, other;
static uint32_t ioas;
static uint64_t iova = 0x10000000;
static void *page;

static int check(const char *what, int result)
{
	if (result < 0) {
		perror(what);
		exit(3);
	}
	return result;
}

static void open_group(void)
{
	container = check("container", open("/dev/vfio/vfio", O_RDWR));
	group = check("group", open(GROUP, O_RDWR));
	check("SET_CONTAINER", ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
	check("SET_IOMMU", ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	device = check("GET_DEVICE_FD", ioctl(group, VFIO_GROUP_GET_DEVICE_FD, ADDRESS));
}

static void open_cdev(void)
{
	struct {
		uint32_t size, flags, out;
	} alloc = { sizeof(alloc), 0, 0 };
	struct {
		uint32_t argsz, flags;
		int32_t iommufd;
		uint32_t out;
	} bind = { .argsz = sizeof(bind) };
	struct {
		uint32_t argsz, flags, pt;
	} attach = { .argsz = sizeof(attach) };

	iommufd = check("/dev/iommu", open("/dev/iommu", O_RDWR));
	device = check(CDEV, open(CDEV, O_RDWR));
	bind.iommufd = iommufd;
	check("BIND", ioctl(device, BIND_IOMMUFD, &bind));
	check("IOAS_ALLOC", ioctl(iommufd, IOAS_ALLOC, &alloc));
	attach.pt = ioas = alloc.out;
	check("ATTACH", ioctl(device, ATTACH_IOMMUFD_PT, &attach));
}

static void open_empty(void)
{
	other = check("/dev/empty", open("/dev/empty", O_RDWR));
}

static void open_memfd(void)
{
	other = check("memfd", memfd_create("config", 0));
	check("memfd", ftruncate(other, 4096));
}

static int version(void)
{
	return ioctl(container, VFIO_GET_API_VERSION);
}

static int info_of(int fd)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	return ioctl(fd, VFIO_DEVICE_GET_INFO, &info);
}

static int info(void)
{
	return info_of(device);
}

static int config(void)
{
	uint32_t value;
	return pread(device, &value, 4, (uint64_t)VFIO_PCI_CONFIG_REGION_INDEX << 40);
}

static int nothing(void)
{
	return ioctl(other, VFIO_GET_API_VERSION);
}

static int nothing_struct(void)
{
	return info_of(other);
}

static int read_other(void)
{
	uint32_t value;
	return pread(other, &value, 4, 0);
}

static int type1(void)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)page,
		.iova = iova,
		.size = 4096,
	};
	iova += 4096;
	return ioctl(container, VFIO_IOMMU_MAP_DMA, &map);
}

static int type1_cycle(void)
{
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .iova = iova, .size = 4096 };
	return type1() ? -1 : ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap);
}

static int iommufd_map(uint32_t flags)
{
	struct {
		uint32_t size, flags, ioas, reserved;
		uint64_t va, length, iova;
	} map = { sizeof(map), flags | MAP_READABLE | MAP_WRITEABLE, ioas, 0, (uintptr_t)page, 4096, iova };
	iova += 4096;
	return ioctl(iommufd, IOAS_MAP, &map);
}

static int iommufd_fixed(void)
{
	return iommufd_map(MAP_FIXED_IOVA);
}

static int iommufd_anywhere(void)
{
	return iommufd_map(0);
}

static const struct {
	const char *name;
	void (*open)(void);
	int (*once)(void);
} modes[] = {
	{ "version", open_group, version },
	{ "info", open_group, info },
	{ "config", open_group, config },
	{ "nothing", open_empty, nothing },
	{ "nothing_struct", open_empty, nothing_struct },
	{ "nothing_read", open_empty, read_other },
	{ "memfd", open_memfd, read_other },
	{ "type1", open_group, type1 },
	{ "type1_cycle", open_group, type1_cycle },
	{ "iommufd", open_cdev, iommufd_fixed },
	{ "iommufd_anywhere", open_cdev, iommufd_anywhere },
};

int main(int argc, char **argv)
{
	char line[32];
	size_t i;

	for (i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		if (argc == 2 && !strcmp(modes[i].name, argv[1]))
			break;
	if (i == sizeof(modes) / sizeof(*modes))
		return 2;
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return 2;
	modes[i].open();
	while (fgets(line, sizeof(line), stdin)) {
		long n = atol(line);
		if (!strcmp(line, "full\n") && (modes[i].once() != -1 || errno != ENOSPC))
			return 5;
		while (n-- > 0)
			check(argv[1], modes[i].once());
		puts("done");
		fflush(stdout);
	}
	return 0;
}
