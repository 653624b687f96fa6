# SPDX-License-Identifier: Apache-2.0
"""Frames as a hostile guest would make them, with checksums that are right: what drops them is a rule."""

import ipaddress
import struct

BROADCAST = "ff:ff:ff:ff:ff:ff"
ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"
UDP, ICMP6 = 17, 58
ROUTER_ADVERTISEMENT, NEIGHBOUR_ADVERTISEMENT, REDIRECT = 134, 136, 137


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def ip(text):
    return ipaddress.ip_address(text).packed


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ethernet(source, target, kind, payload):
    return mac(target) + mac(source) + struct.pack("!H", kind) + payload


def arp(source_mac, sender_mac, sender, target, operation=2, target_mac=BROADCAST):
    """An ARP packet that says: `sender` is at `sender_mac`."""
    return ethernet(source_mac, target_mac, 0x0806, struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
                    + mac(sender_mac) + ip(sender) + mac(target_mac) + ip(target))


def ipv4(source_mac, target_mac, source, target, payload, protocol=UDP):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0, ip(source), ip(target))
    return ethernet(source_mac, target_mac, 0x0800, head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload)


def ipv6(source_mac, target_mac, source, target, payload, protocol=UDP, hops=64):
    head = struct.pack("!IHBB16s16s", 6 << 28, len(payload), protocol, hops, ip(source), ip(target))
    return ethernet(source_mac, target_mac, 0x86dd, head + payload)


def pseudo(source, target, protocol, length):
    if ":" in source:
        return ip(source) + ip(target) + struct.pack("!II", length, protocol)
    return ip(source) + ip(target) + struct.pack("!HH", protocol, length)


def udp(source, target, source_port, target_port, data):
    length = 8 + len(data)
    head = struct.pack("!HHH", source_port, target_port, length)
    value = checksum(pseudo(source, target, UDP, length) + head + b"\0\0" + data)
    return head + struct.pack("!H", value or 0xffff) + data


def icmp6(source, target, kind, body):
    message = struct.pack("!BBH", kind, 0, 0) + body
    value = checksum(pseudo(source, target, ICMP6, len(message)) + message)
    return message[:2] + struct.pack("!H", value) + message[4:]


def router_advertisement(source_mac, source, prefix):
    """One that makes its sender everybody's router, with a prefix to make addresses of (RFC 4861, 4.2)."""
    body = struct.pack("!BBHII", 64, 0, 1800, 0, 0) + b"\1\1" + mac(source_mac)
    body += struct.pack("!BBBBIII16s", 3, 4, 64, 0xc0, 3600, 3600, 0, ip(prefix))
    return ipv6(source_mac, ALL_NODES_MAC, source, ALL_NODES, icmp6(source, ALL_NODES, ROUTER_ADVERTISEMENT, body),
                ICMP6, 255)


def neighbour_advertisement(source_mac, source, target, claimed_mac):
    """One that says: `target` is at `claimed_mac`, whatever was known before (RFC 4861, 4.4)."""
    body = struct.pack("!I", 0x20000000) + ip(target) + b"\2\1" + mac(claimed_mac)
    return ipv6(source_mac, ALL_NODES_MAC, source, ALL_NODES, icmp6(source, ALL_NODES, NEIGHBOUR_ADVERTISEMENT, body),
                ICMP6, 255)


def redirect(source_mac, source, target_mac, target, destination, gateway):
    """One that says: `destination` is reached by way of `gateway` (RFC 4861, 4.5)."""
    body = struct.pack("!I", 0) + ip(gateway) + ip(destination)
    return ipv6(source_mac, target_mac, source, target, icmp6(source, target, REDIRECT, body), ICMP6, 255)


def dhcp_offer(source_mac, source, offered, server):
    """A DHCP server's offer to nobody in particular (RFC 2131)."""
    message = struct.pack("!BBBBIHH4s4s4s4s16s192x", 2, 1, 6, 0, 0x1234, 0, 0x8000, bytes(4), ip(offered), ip(server),
                          bytes(4), b"\2\0\0\0\0\1")
    message += b"\x63\x82\x53\x63" + b"\x35\1\2" + b"\x36\4" + ip(server) + b"\xff"
    return ipv4(source_mac, BROADCAST, source, "255.255.255.255", udp(source, "255.255.255.255", 67, 68, message))
