/* SPDX-License-Identifier: Apache-2.0 */
/* The firewall's constant parts: its tables' sets and rules. Only firewall-render.c needs them. */
#pragma once

#include "base/macros.h"

enum family { BRIDGE, NETDEV, INET, FAMILY_COUNT };

/* Of frames: the same sets in the tables for taps and for macvtaps. */
enum frame_set {
	LINKS,
	MACS,
	SOURCES4,
	SOURCES6,
	TARGETS6, /* what a guest may say it is in neighbour discovery */
	/* Of guests on a LAN whose addresses are its router's to give. */
	FREE4,
	PROTECTED4,
	SUFFIXES6,
	TARGET_SUFFIXES6,
	METADATA,
	FRAME_SET_COUNT,
};

enum packet_set {
	TAPS,
	BRIDGES,
	SAME,
	MEMBERS4,
	MEMBERS6,
	INTERNALS,
	MASQUERADED,
	GATEWAYS4,
	GATEWAYS6,
	TRUSTED4,
	TRUSTED6,
	PORTS4,
	PORTS6,
	ANY_PORTS4,
	ANY_PORTS6,
	PACKET_SET_COUNT,
};

struct set_row {
	const char *kind;
	const char *name;
	const char *type;
};

extern const struct set_row firewall_frame_sets[FRAME_SET_COUNT];
extern const struct set_row firewall_packet_sets[PACKET_SET_COUNT];

/* Chains; "$link" stands for the expression that names the guest's card. */
extern const char firewall_frame_rules[];
extern const char firewall_bridge_hooks[];
extern const char firewall_packet_rules[];
