"""pyrad at the other end of a pipe: writes packets with a description of each, or reads packets and says what it finds.

    pyrad_peer.py write DICTIONARY SEED COUNT   lines to standard output
    pyrad_peer.py read DICTIONARY               a line for each line of standard input

A line has tabs between its fields: kind, authenticator of the request, packet, then attributes as `numbers|tag|value`.
A value says its kind and itself as text: `s:` octets of text or octets in hexadecimal, `n:` number, `a:` address,
`p:` prefix, `i:` interface identifier, `e:` hardware address. Everything is pyrad's own reading and writing.
"""
import ipaddress
import random
import re
import sys

from pyrad import packet
from pyrad.dictionary import Dictionary

SECRET = b"xyzzy5461"
NUMBERS = {"integer": (0, 2**32 - 1), "short": (0, 2**16 - 1), "byte": (0, 2**8 - 1), "date": (0, 2**32 - 1),
           "signed": (-2**31, 2**31 - 1), "integer64": (0, 2**64 - 1)}


class Peer:
    def __init__(self, path):
        self.dictionary = Dictionary(path)
        # pyrad forgets how many octets `octets[16]` has.
        self.lengths = {}
        # Of these a packet has one, or what follows each other is one value.
        self.single = {"State"}
        for line in open(path):
            if line.rstrip().endswith("concat"):
                self.single.add(line.split()[1])
            found = re.match(r"ATTRIBUTE\s+(\S+)\s+\S+\s+octets\[(\d+)\]", line)
            if found:
                self.lengths[found.group(1)] = int(found.group(2))

    def numbers(self, attribute):
        own = attribute
        numbers = [own.code] if own.parent is None else [own.parent.code, own.code]
        vendor = (own.parent or own).vendor
        if vendor:
            numbers = [26, self.dictionary.vendors.GetForward(vendor)] + numbers
        return ".".join(map(str, numbers))


def said(attribute, value):
    """Kind and text of a value as pyrad gives or takes it."""
    kind = attribute.type
    if kind in NUMBERS:
        return "n:%d" % value
    if kind in ("ipaddr", "ipv6addr"):
        return "a:" + value
    if kind == "ipv6prefix":
        return "p:" + value
    if kind == "ifid":
        return "i:" + value
    if kind == "ether":
        return "e:" + value
    if isinstance(value, str):
        value = value.encode()
    return "s:" + value.hex()


# Writing.

def number(dice, low, high):
    edge = dice.randrange(8)
    if edge == 0:
        return low
    if edge == 1:
        return high
    return max(low, min(high, dice.getrandbits(dice.randrange(1, 65)) * dice.choice((1, 1, -1 if low < 0 else 1))))


def octets_max(attribute):
    own = attribute.parent or attribute
    octets = 247 if own.vendor else 253
    if attribute.parent is not None:
        # pyrad puts all that belong together into one TLV of at most 245 octets.
        return 60
    if attribute.has_tag:
        octets -= 1
    if attribute.encrypt == 1:
        return min(octets, 128)
    if attribute.encrypt == 2:
        return (octets - 2) // 16 * 16 - 1
    return octets


def value(peer, attribute, dice):
    kind = attribute.type
    if kind in NUMBERS:
        low, high = NUMBERS[kind]
        if attribute.has_tag:
            high >>= 8
        return number(dice, low, high)
    if kind == "ipaddr":
        return str(ipaddress.IPv4Address(dice.getrandbits(32)))
    if kind == "ipv6addr":
        return str(ipaddress.IPv6Address(dice.getrandbits(128) >> dice.choice((0, 64, 120))))
    if kind == "ipv6prefix":
        bits = dice.randrange(129)
        return "%s/%d" % (ipaddress.IPv6Address(dice.getrandbits(128) >> (128 - bits) << (128 - bits)), bits)
    if kind == "ifid":
        return ":".join("%x" % dice.getrandbits(16) for _ in range(4))
    if kind == "ether":
        return ":".join("%02x" % dice.getrandbits(8) for _ in range(6))
    most = octets_max(attribute)
    length = dice.choice((1, most, dice.randrange(1, most + 1), dice.randrange(1, min(most, 30) + 1)))
    if kind == "octets":
        while True:
            octets = dice.randbytes(peer.lengths.get(attribute.name, length))
            # pyrad takes octets that begin like this for hexadecimal.
            if not octets.startswith(b"0x"):
                return octets
    text = "".join(dice.choice("abcXYZ 09=,;\"'\\%@\t\né€\U0001f511") for _ in range(length))
    text = text.encode()[:length].decode(errors="ignore") or "x"
    return text


def write(peer, seed, count):
    dice = random.Random(seed)
    # A binary filter goes in as words and comes out as octets; a Message-Authenticator is the packet's own affair; and
    # what Ascend hides pyrad leaves plain.
    usable = [a for a in peer.dictionary.attributes.values()
              if a.type not in ("tlv", "abinary") and a.encrypt != 3 and a.name != "Message-Authenticator"]
    secretless = [a for a in usable if not a.encrypt]
    passwords = [a for a in usable if a.encrypt == 1]
    salted = [a for a in usable if a.encrypt == 2]
    kinds = ("access-request", "access-reply", "accounting-request", "accounting-reply", "coa-request", "coa-reply")
    for _ in range(count):
        kind = dice.choice(kinds)
        authenticator = dice.randbytes(16)
        identifier = dice.randrange(256)
        make = {"access": packet.AuthPacket, "accounting": packet.AcctPacket, "coa": packet.CoAPacket}
        make = make[kind.split("-")[0]]
        if kind.endswith("request"):
            code = {"access": 1, "accounting": 4, "coa": dice.choice((40, 43))}[kind.split("-")[0]]
        else:
            code = {"access": dice.choice((2, 3, 11)), "accounting": 5, "coa": dice.choice((41, 42, 44, 45))}
            code = code[kind.split("-")[0]]
        signed = kind.startswith("access") or dice.randrange(4) == 0
        sent = make(code=code, id=identifier, secret=SECRET, authenticator=authenticator, dict=peer.dictionary)
        if kind.endswith("reply"):
            sent.request_authenticator = authenticator
            sent._request_code = {"access": 1, "accounting": 4, "coa": 43 if code > 43 else 40}[kind.split("-")[0]]
        if signed:
            sent.message_authenticator = True
            sent._set_message_authenticator(bytes(16))
        told = []
        for _ in range(dice.randrange(1, 7)):
            attribute = dice.choice(secretless)
            roll = dice.randrange(10)
            if roll == 0 and code == 1:
                attribute = dice.choice(passwords)
            elif roll == 1 and kind == "access-reply":
                attribute = dice.choice(salted)
            if attribute.name in peer.single and attribute.name in sent:
                continue
            plain = value(peer, attribute, dice)
            tag = dice.randrange(32) if attribute.has_tag and dice.randrange(4) else None
            key = attribute.name if tag is None else "%s:%d" % (attribute.name, tag)
            hidden = sent.PwCrypt(plain) if attribute.encrypt == 1 else plain
            sent.AddAttribute(key, hidden)
            told.append("%s|%d|%s" % (peer.numbers(attribute), tag or 0, said(attribute, plain)))
        octets = sent.RequestPacket() if kind.endswith("request") else sent.ReplyPacket()
        if kind in ("accounting-request", "coa-request"):
            authenticator = octets[4:20]
        print(kind, authenticator.hex(), octets.hex(), *told, sep="\t")


# Reading.

def read(peer):
    for line in sys.stdin:
        kind, authenticator, octets = line.rstrip("\n").split("\t")
        authenticator, octets = bytes.fromhex(authenticator), bytes.fromhex(octets)
        make = {"access": packet.AuthPacket, "accounting": packet.AcctPacket, "coa": packet.CoAPacket}
        make = make[kind.split("-")[0]]
        try:
            received = make(packet=octets, secret=SECRET, dict=peer.dictionary)
        except packet.PacketError as error:
            print(kind, "malformed", str(error), sep="\t")
            continue
        valid = True
        if kind.endswith("reply"):
            request = make(code={"access": 1, "accounting": 4, "coa": 43}[kind.split("-")[0]], id=received.id,
                           secret=SECRET, authenticator=authenticator, dict=peer.dictionary)
            # As one that was sent with what comes back.
            if 33 in received.keys() or "Proxy-State" in received.keys():
                request.setdefault(33, []).extend(dict.get(received, 33, []))
            valid = request.VerifyReply(received, octets)
            # What is hidden in a reply is hidden under the request's authenticator, User-Password's way, too.
            received.request_authenticator = received.authenticator = authenticator
        elif kind == "accounting-request":
            valid = received.VerifyAcctRequest()
        elif kind == "coa-request":
            valid = received.VerifyCoARequest()
        elif received.message_authenticator:
            valid = received.verify_message_authenticator()
        found = []
        for key, raw in packet.OrderedDict.items(received):
            name = received._DecodeKey(key)
            attribute = peer.dictionary.attributes.get(name) if isinstance(name, str) else None
            if attribute is None:
                numbers = [26, *key] if isinstance(key, tuple) else [key]
                numbers = ".".join(map(str, numbers))
                found.extend("%s|-|s:%s" % (numbers, octets.hex()) for octets in raw)
            elif attribute.type == "tlv":
                for code, values in raw.items():
                    inner = attribute.sub_attributes.get(code)
                    numbers = "%s.%d" % (peer.numbers(attribute), code)
                    for octets in values:
                        text = meaning(received, peer.dictionary.attributes.get(inner), octets)
                        found.append("%s|0|%s" % (numbers, text))
            else:
                for octets in raw:
                    tag, octets = received._SplitTag(attribute, octets)
                    found.append("%s|%d|%s" % (peer.numbers(attribute), tag, meaning(received, attribute, octets)))
        print(kind, "valid" if valid else "invalid", *found, sep="\t")


def meaning(received, attribute, octets):
    if attribute is None:
        return "s:" + octets.hex()
    try:
        if attribute.encrypt == 1 and attribute.type == "string":
            return said(attribute, received.PwDecrypt(octets))
        return said(attribute, received._DecodeValue(attribute, octets))
    except (ValueError, packet.PacketError):
        return "invalid"


def main():
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    peer = Peer(sys.argv[2])
    if sys.argv[1] == "write":
        write(peer, int(sys.argv[3]), int(sys.argv[4]))
    else:
        read(peer)


main()
