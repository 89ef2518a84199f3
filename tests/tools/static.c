// SPDX-License-Identifier: Apache-2.0
// A statically linked program: system calls of its own, no library of the host.
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

int main(int argc, char **argv)
{
	struct utsname names;
	struct statfs system;
	struct stat status;
	char text[64] = "";
	FILE *file = fopen("/sys/bus/dsa/devices/dsa0/state", "r");

	if (argc != 2 || !file || !fgets(text, sizeof(text), file) || uname(&names) ||
	    fstatfs(fileno(file), &system) || stat(argv[1], &status))
		return 1;
	text[strcspn(text, "\n")] = 0;
	printf("%s %s %lx %d %u:%u\n", names.release, text, (unsigned long)system.f_type,
	       S_ISCHR(status.st_mode), major(status.st_rdev), minor(status.st_rdev));
	return 0;
}
