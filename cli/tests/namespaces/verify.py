"""Judges captured replies. Shares no code with ulna: RFC 2865 section 3 and RFC 2869 section 5.14 from hashlib and hmac.

Usage: verify.py CASE.json. Prints one JSON object and ends with 0 if each reply is as it has to be, with 3 and the faults if
not:

- inside of the NAT, a reply belongs to the latest request of that NAS with its Identifier, or to an earlier one, and
  verifies under the secret of that NAS and under no other's;
- outside, where ports are all that tells NASes apart, a reply belongs to a request from its port, whose NAS is told by
  NAS-Identifier and a Message-Authenticator that verifies, and verifies under that NAS's secret and under no other's;
- each request is answered, after at most so many transmissions, all of the same octets.

Only while ports were moved from one NAS to another ("moves") may a reply reach a NAS that did not ask; then it must not
verify under the secret of who got it.
"""

import collections
import hashlib
import hmac
import ipaddress
import json
import struct
import sys

NAS_IDENTIFIER = 32
MESSAGE_AUTHENTICATOR = 80
REPLY_CODES = (2, 3, 5, 11)
FAULTS_FOUND = 3

Packet = collections.namedtuple("Packet", "time source sport destination dport octets")


def packets(path):
    """UDP of an Ethernet capture in the order of its file."""
    with open(path, "rb") as file:
        data = file.read()
    for order in "<>":
        magic = struct.unpack(order + "I", data[:4])[0]
        if magic in (0xA1B2C3D4, 0xA1B23C4D):
            break
    else:
        sys.exit(f"{path}: not a pcap file")
    fraction = 1e-6 if magic == 0xA1B2C3D4 else 1e-9
    if struct.unpack(order + "I", data[20:24])[0] != 1:
        sys.exit(f"{path}: not Ethernet")
    at = 24
    while at + 16 <= len(data):
        seconds, rest, length, whole = struct.unpack(order + "IIII", data[at : at + 16])
        frame = data[at + 16 : at + 16 + length]
        at += 16 + length
        if length != whole:
            sys.exit(f"{path}: a frame was cut off")
        kind = frame[12:14]
        if kind == b"\x08\x00":
            header = (frame[14] & 15) * 4
            if frame[23] != 17 or struct.unpack("!H", frame[20:22])[0] & 0x3FFF:
                sys.exit(f"{path}: not whole UDP")
            source, destination = frame[26:30], frame[30:34]
            udp = frame[14 + header :]
        elif kind == b"\x86\xdd":
            if frame[20] != 17:
                sys.exit(f"{path}: not UDP without extension headers")
            source, destination = frame[22:38], frame[38:54]
            udp = frame[54:]
        else:
            sys.exit(f"{path}: neither IPv4 nor IPv6")
        sport, dport, length = struct.unpack("!HHH", udp[:6])
        yield Packet(
            seconds + rest * fraction,
            ipaddress.ip_address(source), sport,
            ipaddress.ip_address(destination), dport,
            udp[8:length],
        )


def attributes(octets):
    """Kind, offset of the value and value of each attribute; None where lengths do not hold."""
    if len(octets) < 20 or struct.unpack("!H", octets[2:4])[0] != len(octets):
        return None
    found, at = [], 20
    while at < len(octets):
        if at + 2 > len(octets) or octets[at + 1] < 2 or at + octets[at + 1] > len(octets):
            return None
        found.append((octets[at], at + 2, octets[at + 2 : at + octets[at + 1]]))
        at += octets[at + 1]
    return found


def message_authenticator_verifies(octets, authenticator, secret):
    signed = [(at, value) for kind, at, value in attributes(octets) or [] if kind == MESSAGE_AUTHENTICATOR]
    if len(signed) != 1 or len(signed[0][1]) != 16:
        return False
    at, value = signed[0]
    cleared = octets[:4] + authenticator + octets[20:at] + bytes(16) + octets[at + 16 :]
    return hmac.new(secret, cleared, "md5").digest() == value


def response_authenticator_verifies(octets, authenticator, secret):
    return hashlib.md5(octets[:4] + authenticator + octets[20:] + secret).digest() == octets[4:20]


class Case:
    def __init__(self, case):
        self.server = (ipaddress.ip_address(case["server"]["address"]), case["server"]["port"])
        self.nat = ipaddress.ip_address(case["nat"])
        self.nases = case["nases"]
        for nas in self.nases:
            nas["at"] = (ipaddress.ip_address(nas["address"]), nas["port"])
            nas["secret"] = nas["secret"].encode()
        self.by_name = {nas["name"].encode(): nas for nas in self.nases}
        self.secrets = sorted({nas["secret"] for nas in self.nases})
        self.moves = case["moves"]
        self.transmissions_max = case["transmissions_max"]
        self.faults = {}  # sentence: where
        self.known = {}

    def fault(self, packet, what):
        where = (
            f"{packet.time:.6f} {packet.source}:{packet.sport} to {packet.destination}:{packet.dport}"
            f" code {packet.octets[0]} Identifier {packet.octets[1]}"
        )
        self.faults.setdefault(what, []).append(where)

    def secrets_of_reply(self, octets, authenticator):
        """Under which secrets either of its authenticators verifies, and under which both do. A reply that is sent
        again is not computed again."""
        key = (octets, authenticator)
        if key not in self.known:
            response = {one for one in self.secrets if response_authenticator_verifies(octets, authenticator, one)}
            message = {one for one in self.secrets if message_authenticator_verifies(octets, authenticator, one)}
            self.known[key] = (response | message, response & message)
        return self.known[key]

    def is_moving(self, time):
        return any(begin <= time <= end for begin, end in self.moves)

    def is_reply(self, packet):
        """True, False, or None for what is no RADIUS between the server and anybody."""
        if (packet.source, packet.sport) == self.server:
            return True
        if (packet.destination, packet.dport) == self.server:
            return False
        return None

    def judge_request(self, packet, nas):
        if packet.octets[0] != 1 or not message_authenticator_verifies(
            packet.octets, bytes(packet.octets[4:20]), nas["secret"]
        ):
            self.fault(packet, "not a request that its NAS signed")

    def judge_inside(self, path):
        by_address = {nas["at"]: nas for nas in self.nases if nas["behind"]}
        requests = {}  # (address, port, Identifier): authenticators, oldest first
        sent = {}  # (address, port, authenticator): [octets, transmissions, transmissions when answered]
        counts = collections.Counter()
        for packet in packets(path):
            is_reply = self.is_reply(packet)
            if is_reply is None:
                continue
            here = (packet.destination, packet.dport) if is_reply else (packet.source, packet.sport)
            nas = by_address.get(here)
            if nas is None or attributes(packet.octets) is None:
                self.fault(packet, "from or to nobody, or malformed")
                continue
            authenticator = packet.octets[4:20]
            if not is_reply:
                counts["transmissions"] += 1
                one = sent.get((here, authenticator))
                if one is None:
                    self.judge_request(packet, nas)
                    sent[here, authenticator] = [packet.octets, 1, 0]
                    requests.setdefault((here, packet.octets[1]), []).append(authenticator)
                else:
                    one[1] += 1
                    if one[0] != packet.octets:
                        self.fault(packet, "a retransmission of other octets")
                continue
            counts["replies"] += 1
            asked = requests.get((here, packet.octets[1]), [])
            if packet.octets[0] not in REPLY_CODES:
                self.fault(packet, "not a reply")
            for older, authenticator in enumerate(reversed(asked)):
                either, both = self.secrets_of_reply(packet.octets, authenticator)
                if nas["secret"] not in either:
                    continue
                if both != {nas["secret"]} or either != {nas["secret"]}:
                    self.fault(packet, "verifies under another's secret, or by one authenticator only")
                counts["replies_to_older"] += older > 0
                one = sent[here, authenticator]
                if not one[2]:
                    one[2] = one[1]
                    counts["answered_after_%d" % one[1]] += 1
                    if one[1] > self.transmissions_max:
                        self.fault(packet, f"{one[1]} transmissions before the answer")
                else:
                    counts["replies_again"] += 1
                break
            else:
                # Not for this NAS. If it is for one of its requests but under another's secret, that is the worst.
                if any(self.secrets_of_reply(packet.octets, one)[0] for one in asked):
                    self.fault(packet, "its request's answer under another's secret")
                elif not self.is_moving(packet.time):
                    self.fault(packet, "verifies for no request of its receiver")
                counts["replies_misdelivered"] += 1
        for (here, _), (octets, transmissions, answered) in sent.items():
            counts["requests"] += 1
            if not answered:
                where = f"{here[0]}:{here[1]} Identifier {octets[1]}"
                self.faults.setdefault(f"sent {transmissions} times, no answer", []).append(where)
        counts["nases"] = len({here for here, _ in sent})
        return counts

    def judge_outside(self, path):
        by_address = {nas["at"]: nas for nas in self.nases if not nas["behind"]}
        requests = {}  # (address, port, Identifier): [(NAS, authenticator)]
        seen = set()
        answered = set()
        ports = {}
        counts = collections.Counter()
        for packet in packets(path):
            is_reply = self.is_reply(packet)
            if is_reply is None:
                continue
            if attributes(packet.octets) is None:
                self.fault(packet, "malformed")
                continue
            authenticator = packet.octets[4:20]
            if not is_reply:
                counts["transmissions"] += 1
                if packet.source == self.nat:
                    names = [value for kind, _, value in attributes(packet.octets) if kind == NAS_IDENTIFIER]
                    nas = self.by_name.get(names[0]) if len(names) == 1 else None
                    counts["transmissions_behind"] += 1
                else:
                    nas = by_address.get((packet.source, packet.sport))
                if nas is None:
                    self.fault(packet, "of nobody")
                    continue
                used = ports.setdefault(nas["name"], [])
                if not used or used[-1] != packet.sport:
                    used.append(packet.sport)
                key = (packet.source, packet.sport, packet.octets[1], authenticator)
                if key not in seen:
                    seen.add(key)
                    self.judge_request(packet, nas)
                    requests.setdefault(key[:3], []).append((nas, authenticator))
                continue
            counts["replies"] += 1
            asked = requests.get((packet.destination, packet.dport, packet.octets[1]))
            if asked is None:
                # To nobody that asked from there: what a flood sent from a port of its own is not in the capture.
                counts["replies_to_unseen"] += 1
                if packet.destination != self.nat:
                    self.fault(packet, "nobody asked")
                continue
            owners = set()
            for nas, authenticator in asked:
                either, both = self.secrets_of_reply(packet.octets, authenticator)
                if either:
                    owners.add(nas["name"])
                    answered.add((nas["name"], authenticator))
                    if both != {nas["secret"]} or either != {nas["secret"]}:
                        self.fault(packet, "answers a NAS, but not under its secret alone")
            if len(owners) != 1:
                self.fault(packet, f"verifies for {len(owners)} NASes that asked from there")
        for key, asked in requests.items():
            for nas, authenticator in asked:
                if (nas["name"], authenticator) not in answered:
                    where = f"{key[0]}:{key[1]} Identifier {key[2]} of {nas['name']}"
                    self.faults.setdefault("outside there is no answer", []).append(where)
        counts["nases"] = len(ports)
        return counts, ports


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        text = json.load(file)
    case = Case(text)
    inside = case.judge_inside(text["inside"])
    outside, ports = case.judge_outside(text["outside"])
    if case.faults:
        for what, where in case.faults.items():
            print(f"{len(where)} times: {what}", *where[:5], sep="\n    ")
        print(json.dumps({"inside": inside, "outside": outside}))
        return FAULTS_FOUND
    behind = {nas["name"]: ports.get(nas["name"], []) for nas in case.nases if nas["behind"]}
    print(json.dumps({"inside": inside, "outside": outside, "secrets": len(case.secrets), "ports": behind}))
    return 0


sys.exit(main())
