// SPDX-License-Identifier: Apache-2.0
// vfio_threads SECONDS THREADS ADDRESS...: threads that use edu devices at once, all through VFIO.
//
// Each device has a container of its own, and its threads take turns at it in four ways: the first
// raises interrupts and counts them, one changes what they trigger, the others map memory, let edu
// copy through it if they get hold of its engine, look that what came is what went, and unmap, or
// read registers and config space. Prints "wrong" and what for anything that is not as it has to be,
// at the end how much was done; the numbers of open fds before and after have to be the same.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
enum { IDENTITY = 0, STATUS = 0x24, RAISE = 0x60, ACKNOWLEDGE = 0x64 };
enum { SOURCE = 0x80, DESTINATION = 0x88, COUNT = 0x90, COMMAND = 0x98, BUFFER = 0x40000 };
enum { START = 1, TO_MEMORY = 2 };

struct device {
	int container, group, fd, event;
	uint64_t bar, config;
	uint32_t id;
	pthread_mutex_t engine;
	/* held while interrupts are raised and counted, or their eventfd changed */
	pthread_mutex_t irq;
	uint64_t raised, heard;
};

struct job {
	pthread_t thread;
	struct device *device;
	unsigned int number;
	unsigned long done, copied;
};

static volatile int over;
static unsigned long wrong;

static void tell(const char *format, ...)
{
	va_list rest;

	if (__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED) > 20)
		return;
	printf("wrong: ");
	va_start(rest, format);
	vprintf(format, rest);
	va_end(rest);
	printf(" (%s)\n", strerror(errno));
}

static int must(const char *what, long result)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
	return result;
}

static void put(struct device *d, uint64_t offset, uint32_t value)
{
	if (pwrite(d->fd, &value, 4, d->bar + offset) != 4)
		tell("store at 0x%lx", (unsigned long)offset);
}

static uint32_t get(struct device *d, uint64_t offset)
{
	uint32_t value = 0;

	if (pread(d->fd, &value, 4, offset) != 4)
		tell("load at 0x%lx", (unsigned long)offset);
	return value;
}

static void set_irqs(struct device *d, uint32_t flags, uint32_t count, int fd)
{
	char room[sizeof(struct vfio_irq_set) + 4];
	struct vfio_irq_set *set = (void *)room;

	set->argsz = sizeof(room);
	set->flags = flags | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = VFIO_PCI_MSI_IRQ_INDEX;
	set->start = 0;
	set->count = count;
	memcpy(set->data, &fd, 4);
	if (ioctl(d->fd, VFIO_DEVICE_SET_IRQS, set))
		tell("SET_IRQS");
}

static uint64_t region(struct device *d, int index)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };

	must("GET_REGION_INFO", ioctl(d->fd, VFIO_DEVICE_GET_REGION_INFO, &info));
	return info.offset;
}

static void open_device(struct device *d, const char *address)
{
	char path[PATH_MAX], target[PATH_MAX];
	uint16_t command = 6; /* memory and bus master */

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", address);
	target[must(path, readlink(path, target, sizeof(target) - 1))] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%s", basename(target));
	d->container = must("container", open("/dev/vfio/vfio", O_RDWR));
	d->group = must(path, open(path, O_RDWR));
	must("SET_CONTAINER", ioctl(d->group, VFIO_GROUP_SET_CONTAINER, &d->container));
	must("SET_IOMMU", ioctl(d->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	d->fd = must("GET_DEVICE_FD", ioctl(d->group, VFIO_GROUP_GET_DEVICE_FD, address));
	d->bar = region(d, VFIO_PCI_BAR0_REGION_INDEX);
	d->config = region(d, VFIO_PCI_CONFIG_REGION_INDEX);
	d->id = get(d, d->config);
	must("command", pwrite(d->fd, &command, 2, d->config + 4));
	d->event = must("eventfd", eventfd(0, EFD_NONBLOCK));
	set_irqs(d, VFIO_IRQ_SET_DATA_EVENTFD, 1, d->event);
	pthread_mutex_init(&d->engine, NULL);
	pthread_mutex_init(&d->irq, NULL);
}

/* What the eventfd was signalled. */
static uint64_t heard(int event)
{
	eventfd_t count;

	return eventfd_read(event, &count) ? 0 : count;
}

/* Raise a few interrupts. Each is heard, and no other one is. */
static void interrupts(struct job *job)
{
	struct device *d = job->device;
	unsigned int times = 1 + job->done % 7;

	pthread_mutex_lock(&d->irq);
	for (unsigned int i = 0; i < times; i++) {
		put(d, RAISE, 2);
		put(d, ACKNOWLEDGE, 2);
	}
	d->raised += times;
	d->heard += heard(d->event);
	if (d->raised != d->heard)
		tell("%llu raised, %llu heard", (unsigned long long)d->raised, (unsigned long long)d->heard);
	d->heard = d->raised;
	pthread_mutex_unlock(&d->irq);
}

/* Another eventfd for the interrupt: signalled through SET_IRQS and by the device. */
static void change_trigger(struct job *job)
{
	struct device *d = job->device;
	int event = eventfd(0, EFD_NONBLOCK), off = job->done % 2;
	uint64_t count;

	if (event < 0) {
		tell("eventfd");
		return;
	}
	pthread_mutex_lock(&d->irq);
	if (off)
		set_irqs(d, VFIO_IRQ_SET_DATA_NONE, 0, 0);
	set_irqs(d, VFIO_IRQ_SET_DATA_EVENTFD, 1, event);
	set_irqs(d, VFIO_IRQ_SET_DATA_NONE, 1, 0);
	put(d, RAISE, 4);
	put(d, ACKNOWLEDGE, 4);
	set_irqs(d, VFIO_IRQ_SET_DATA_EVENTFD, 1, d->event);
	count = heard(event);
	if (count != 2)
		tell("%llu heard of 2", (unsigned long long)count);
	count = heard(d->event);
	if (count)
		tell("%llu heard that were another's", (unsigned long long)count);
	pthread_mutex_unlock(&d->irq);
	close(event);
}

static void copy(struct job *job, uint64_t iova, unsigned char *memory)
{
	struct device *d = job->device;
	unsigned int count = 64 + 8 * (job->done % 32);

	for (unsigned int i = 0; i < count; i++)
		memory[i] = job->number * 31 + job->done + i;
	memset(memory + PAGE, 0, count);
	put(d, SOURCE, iova);
	put(d, DESTINATION, BUFFER);
	put(d, COUNT, count);
	put(d, COMMAND, START);
	put(d, SOURCE, BUFFER);
	put(d, DESTINATION, iova + PAGE);
	put(d, COMMAND, START | TO_MEMORY);
	if (memcmp(memory, memory + PAGE, count))
		tell("bytes of thread %u", job->number);
	job->copied++;
}

static void map(struct job *job)
{
	struct device *d = job->device;
	unsigned char *memory =
		mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vfio_iommu_type1_dma_map in = {
		.argsz = sizeof(in),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory,
		.iova = 0x100000 + (uint64_t)job->number * 0x10000,
		.size = 2 * PAGE,
	};
	struct vfio_iommu_type1_dma_unmap out = {
		.argsz = sizeof(out), .iova = in.iova, .size = in.size
	};

	if (memory == MAP_FAILED || ioctl(d->container, VFIO_IOMMU_MAP_DMA, &in))
		tell("MAP_DMA");
	else if (!ioctl(d->container, VFIO_IOMMU_MAP_DMA, &in) || errno != EEXIST)
		tell("MAP_DMA once more");
	if (!pthread_mutex_trylock(&d->engine)) {
		copy(job, in.iova, memory);
		pthread_mutex_unlock(&d->engine);
	}
	if (ioctl(d->container, VFIO_IOMMU_UNMAP_DMA, &out) || out.size != 2 * PAGE)
		tell("UNMAP_DMA");
	munmap(memory, 2 * PAGE);
}

static void look(struct job *job)
{
	struct device *d = job->device;
	uint32_t id = get(d, d->config), identity = get(d, d->bar + IDENTITY);

	if (id != d->id || identity != 0x010000ed)
		tell("0x%x and 0x%x read", id, identity);
}

static void *work(void *argument)
{
	static void (*const ways[])(struct job *) = { interrupts, change_trigger, map, map, look, map };
	struct job *job = argument;

	/* each way of a thread lasts for 16 rounds, however long they take */
	while (!over || job->done < 16) {
		ways[(job->number / 8 + job->done / 16) % (sizeof(ways) / sizeof(*ways))](job);
		job->done++;
	}
	return NULL;
}

static int open_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

int main(int argc, char **argv)
{
	int threads = argc > 3 ? atoi(argv[2]) : 0, devices = argc - 3, before = open_fds();
	struct device *all = calloc(argc, sizeof(*all));
	struct job *jobs = calloc(threads + 1, sizeof(*jobs));
	unsigned long done = 0, copied = 0, raised = 0;
	int idle = 0;

	if (threads <= 0)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < devices; i++)
		open_device(&all[i], argv[3 + i]);
	for (int i = 0; i < threads; i++) {
		jobs[i].number = i;
		jobs[i].device = &all[i % devices];
		if (pthread_create(&jobs[i].thread, NULL, work, &jobs[i]))
			return 2;
	}
	sleep(atoi(argv[1]));
	over = 1;
	for (int i = 0; i < threads; i++) {
		pthread_join(jobs[i].thread, NULL);
		done += jobs[i].done;
		copied += jobs[i].copied;
		idle += !jobs[i].done;
	}
	for (int i = 0; i < devices; i++) {
		raised += all[i].raised;
		close(all[i].fd);
		close(all[i].group);
		close(all[i].container);
		close(all[i].event);
	}
	printf("%d fds more, %d idle threads, %lu wrong\n", open_fds() - before, idle, wrong);
	printf("%lu done, %lu copied, %lu raised\n", done, copied, raised);
	return 0;
}
