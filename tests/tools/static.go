// SPDX-License-Identifier: Apache-2.0

// A program of Go, which makes system calls without a C library.
package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

func text(field [65]int8) string {
	var found strings.Builder
	for _, char := range field {
		if char == 0 {
			break
		}
		found.WriteByte(byte(char))
	}
	return found.String()
}

func main() {
	var names syscall.Utsname
	var system syscall.Statfs_t
	state, err := os.ReadFile("/sys/bus/dsa/devices/dsa0/state")
	if err != nil || syscall.Uname(&names) != nil || syscall.Statfs("/sys/bus/dsa", &system) != nil {
		os.Exit(1)
	}
	info, err := os.Stat(os.Args[1])
	if err != nil {
		os.Exit(1)
	}
	device := 0
	if info.Mode()&os.ModeCharDevice != 0 {
		device = 1
	}
	number := info.Sys().(*syscall.Stat_t).Rdev
	fmt.Printf("%s %s %x %d %d:%d\n", text(names.Release), strings.TrimSpace(string(state)),
		system.Type, device, number>>8&0xfff, number&0xff)
}
