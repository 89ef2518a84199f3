/* SPDX-License-Identifier: Apache-2.0 */
/* A made-up device's header, with everything in it that the kernel's headers have. */
#ifndef LAMP_H
#define LAMP_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define LAMP_API_VERSION 3
#define LAMP_NAME "lamp"
#define LAMP_TYPE 'L'
#define LAMP_BASE 64
#define LAMP_LEVEL_BITS 0x0ff0

/* Commands with a size in the struct. */
#define LAMP_GET_INFO _IO(LAMP_TYPE, LAMP_BASE + 0)
#define LAMP_RESET _IO(LAMP_TYPE, LAMP_BASE + 1)
#define LAMP_SET_COLOUR _IO(LAMP_TYPE, LAMP_BASE + 2)

/* Commands with a size in the number. */
#define LAMP_READ_LEVEL _IOR(LAMP_TYPE, 1, struct lamp_level)
#define LAMP_WRITE_LEVEL _IOW(LAMP_TYPE, 2, struct lamp_level)
#define LAMP_SWAP _IOWR(LAMP_TYPE, 3, __u64)
#define BULB_CHANGE _IO(LAMP_TYPE, 9)

struct lamp_info {
	__u32 argsz;
	__u32 flags;
#define LAMP_INFO_FLAG_DIMMABLE (1 << 0)
#define LAMP_INFO_FLAG_COLOUR (1 << 1)
#define LAMP_INFO_FLAG_BATTERY (1 << 2)
	__u32 num_bulbs;
	__u32 pad;
};

struct lamp_level {
	__u32 channel;
	__u16 level;
	__u8 ramp;
	__u64 since;
};

struct lamp_set_colour {
	__u32 argsz;
	__u32 flags;
#define LAMP_COLOUR_MASK 0x7
	__s32 hue;
	__u32 count;
	__u32 colours[];
};

struct lamp_event {
	__u16 kind;
	__u16 __reserved;
	union {
		__u32 bulb;
		__u16 level;
	};
	__le32 serial;
	__u32 options : 4;
	__u32 urgent : 1;
} __attribute__((packed));

struct lamp_log {
	struct lamp_event last;
	struct lamp_event events[4];
	__u32 tail[0];
};

enum lamp_state {
	LAMP_STATE_OFF,
	LAMP_STATE_ON,
	LAMP_STATE_BROKEN,
	__LAMP_STATE_MAX,
};
#define LAMP_STATE_MAX (__LAMP_STATE_MAX - 1)

enum {
	LAMP_REGION_CONFIG,
	LAMP_REGION_LIGHT,
	LAMP_NUM_REGIONS,
};

#define LAMP_BULB(x) ((x) & 0xff)

typedef __u32 lamp_id_t;

typedef struct lamp_place {
	__u16 x, y;
	__u64 *owner;
} lamp_place_t;

#endif
