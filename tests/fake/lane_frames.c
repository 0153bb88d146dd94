// SPDX-License-Identifier: BSD-3-Clause
#include "lane_frames.h"

#include "ring_driver.h"

#include <linux/virtio_net.h>

#define TCP_AT	34
#define PAYLOAD 54

bool lane_sources_are_own;

static void be16_put(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

uint32_t lane_frame_make(uint8_t *p, uint64_t seq, const uint8_t *b, unsigned int from)
{
	static const uint8_t ip[] = { 0x45, 0, 0,  0, 0, 0, 0,	0, 64, 6,
				      0,    0, 10, 0, 0, 1, 10, 0, 0,  2 };
	uint32_t len = get_le16(b + 1) % ((b[3] & 7) == 7 ? LANE_FRAME_MOST : 1700),
		 tag = (b[3] & 0x30) == 0x30 ? 4 : 0;
	uint32_t ip_len;

	ring_pattern(p, seq, PAYLOAD + 8 + len);
	len += PAYLOAD + tag;
	memset(p, (b[0] & 0xC0) == 0xC0 && (b[3] & 8) != 0 ? 0xFF : 0, 6);
	p[0] |= 2;
	p[LANE_MAC_LAST] = b[0] >> 6;
	memset(p + 6, 0, 6);
	p[6] = 2;
	p[6 + LANE_MAC_LAST] = (b[3] & 0xC0) == 0xC0 && !lane_sources_are_own ? b[2] % 4
									      : (uint8_t)from;
	if (tag != 0) {
		be16_put(p + 12, 0x8100);
		be16_put(p + 14, 7 + b[1] % 3);
	}
	be16_put(p + 12 + tag, 0x0800);
	memcpy(p + 14 + tag, ip, sizeof(ip));
	p[LANE_SENDER_AT + tag] = (uint8_t)from;
	ip_len = len - 14 - tag;
	be16_put(p + 16 + tag, ip_len);
	p[TCP_AT + 12 + tag] = 0x50;
	return len;
}

void lane_header_make(uint8_t *p, const uint8_t *b, uint32_t len)
{
	struct virtio_net_hdr_v1 h = { 0 };

	if ((b[4] & 3) != 0) {
		h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h.csum_start = TCP_AT;
		h.csum_offset = 16;
	}
	if ((b[4] & 3) > 1) {
		h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		h.gso_size = (uint16_t)(b[4] >> 2 == 0 ? 0 : 700 + b[4]);
		h.hdr_len = (uint16_t)u64_min(len, PAYLOAD);
	}
	if ((b[4] & 0x1F) == 0x1F)
		h.gso_type = b[1];
	memcpy(p, &h, sizeof(h));
}

unsigned int lane_sender_of(const uint8_t *frame)
{
	unsigned int tag = frame[12] == 0x81 ? 4 : 0;

	return frame[LANE_SENDER_AT + tag] % LANE_SENDERS;
}
