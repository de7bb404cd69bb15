"""Check an audit bundle, alone: python verify_bundle.py BUNDLE [--sha256 HEX] [--key VKEY]

BUNDLE is the ZIP file or the folder that `regime audit export` wrote. Only Python 3.9 or newer is needed; signatures
are checked where the package `cryptography` is installed, else they are said not to be. HEX is the digest that the
exporter told you (and its own record holds); VKEY is a public key that came to you by another way than this bundle.
Exit codes: 0 everything holds, 2 no bundle, 3 something does not hold.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import struct
import sys
import zipfile
import zlib
from pathlib import Path

SUMS = "SHA256SUMS"
GENESIS = "0" * 64


class Refused(Exception):
    """Something does not hold."""


def say(text, to=None):
    (to or sys.stdout).write(f"{text}\n")


def require(holds, what):
    if not holds:
        raise Refused(what)


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def leaf(data):
    return hashlib.sha256(b"\x00" + data).digest()


def included(found, index, size, proof, root):
    """RFC 9162, section 2.1.3.2."""
    if not 0 <= index < size:
        return False
    last = size - 1
    for other in proof:
        if last == 0:
            return False
        if index & 1 or index == last:
            found = node(other, found)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            found = node(found, other)
        index, last = index >> 1, last >> 1
    return last == 0 and found == root


def zip_bytes(files):
    """The one ZIP file of these contents: names in order, stored, no times, no attributes."""
    body, directory = [], []
    offset = 0
    for name in sorted(files):
        data, raw = files[name], name.encode("ascii")
        common = struct.pack(
            "<HHHHHIIIHH", 20, 0, 0, 0, 33, zlib.crc32(data), len(data), len(data), len(raw), 0
        )
        local = b"PK\x03\x04" + common + raw
        directory.append(b"PK\x01\x02\x14\x00" + common + struct.pack("<HHHII", 0, 0, 0, 0, offset) + raw)
        body += [local, data]
        offset += len(local) + len(data)
    index = b"".join(directory)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, len(files), len(files), len(index), offset, 0)
    return b"".join([*body, index, end])


def read_bundle(path):
    """Every file of a bundle, by name."""
    if path.is_dir():
        return {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    data = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            files = {name: opened.read(name) for name in opened.namelist()}
        require(zip_bytes(files) == data, "the ZIP file is not the one that was written")
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"the ZIP file cannot be read: {error}") from None
    return files


def check_sums(files, digest):
    require(SUMS in files, f"{SUMS} is missing")
    told = "".join(
        f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files) if name != SUMS
    )
    require(files[SUMS] == told.encode(), f"{SUMS}: a file was changed, added or removed")
    found = hashlib.sha256(files[SUMS]).hexdigest()
    require(digest in (None, found), f"the digest is {found}, not {digest}")
    return found


def check_note(files, about):
    """Text of the checkpoint, its root, and its signature lines."""
    data = files[about["file"]]
    text, _, tail = data.decode().rpartition("\n\n")
    text += "\n"
    lines = text.splitlines()
    require(lines[0] == f"regime-trading/{about['firm']}", "the checkpoint is of another firm")
    require(lines[1] == str(about["size"]), "the checkpoint has another size")
    require(f"seq {about['seq']}" in lines, "the checkpoint has another number")
    return text.encode(), base64.b64decode(lines[2]), tail.splitlines()


def key_of(vkey):
    """Name, key id and raw key of a line of a .pub file."""
    name, told, coded = vkey.strip().split("+", 2)
    key = base64.b64decode(coded, validate=True)
    own = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
    require(told == own.hex() and len(key) == 33 and key[:1] == b"\x01", f"{name}+{told}: not an Ed25519 key")
    return name, own, key[1:]


def check_signatures(files, text, lines, trusted):
    """Who signed the checkpoint; None where that cannot be checked here."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return None
    held = [files[name].decode() for name in sorted(files) if name.startswith("keys/")]
    good = []
    for name, own, raw in map(key_of, [trusted] if trusted else held):
        for line in lines:
            _, signer, coded = line.split(" ")
            signature = base64.b64decode(coded, validate=True)
            if (signer, signature[:4]) == (name, own):
                try:
                    Ed25519PublicKey.from_public_bytes(raw).verify(signature[4:], text)
                except (InvalidSignature, ValueError):
                    raise Refused(f"the signature of {name}+{own.hex()} does not hold") from None
                good.append(f"{name}+{own.hex()}")
    require(good, "no key that is known here signed the checkpoint")
    return good


def check_chain(files, about, root, bundle):
    """One chain: every entry by its hash, its place and its proof. Returns entries, and those a checkpoint covers."""
    where, covered, count = about["file"], 0, 0
    last = None
    if about["size"]:
        said = f"{about['chain']} {about['size']} {about['root']}".encode()
        proof = [bytes.fromhex(x) for x in about["proof"]]
        size = bundle["checkpoint"]["size"]
        require(
            included(leaf(said), about["index"], size, proof, root),
            f"{where}: the chain is not in the checkpoint",
        )
    for line in files[where].decode().splitlines():
        row = json.loads(line)
        body, seq = row["body"].encode(), row["seq"]
        entry = json.loads(row["body"])
        at = f"{where}, entry {seq}"
        made = leaf(bytes.fromhex(row["prev_hash"]) + body).hex()
        require(made == row["entry_hash"], f"{at}: the hash does not follow from the entry")
        require((entry["seq"], entry["firm_id"]) == (seq, bundle["firm"]), f"{at}: another place or firm")
        require(
            about["chain"].endswith(f"/{entry['firm_id']}/{entry['account_id']}"), f"{at}: another account"
        )
        if last is not None and seq == last[0] + 1:
            require(row["prev_hash"] == last[1], f"{at}: it does not follow the entry before")
        require(last is None or seq > last[0], f"{at}: out of order")
        if seq == 1:
            require(row["prev_hash"] == GENESIS, f"{at}: a first entry that follows another")
        require((row["proof"] is None) == (seq > about["size"]), f"{at}: a proof too many or too few")
        if row["proof"] is not None:
            own, top = leaf(bytes.fromhex(row["entry_hash"])), bytes.fromhex(about["root"])
            proof = [bytes.fromhex(x) for x in row["proof"]]
            require(included(own, seq - 1, about["size"], proof, top), f"{at}: it is not in the checkpoint")
            covered += 1
        last, count = (seq, row["entry_hash"]), count + 1
    require(count == about["entries"], f"{where}: {count} entries, {about['entries']} were exported")
    return count, covered


def check(path, digest=None, trusted=None):
    """Everything there is to say of a bundle; raises Refused where something does not hold."""
    files = read_bundle(path)
    found = check_sums(files, digest)
    bundle = json.loads(files["bundle.json"])
    require(
        bundle["format"] == "regime-trading audit bundle" and bundle["version"] == 1, "another kind of bundle"
    )
    text, root, lines = b"", b"", []
    if bundle["checkpoint"] is not None:
        text, root, lines = check_note(files, bundle["checkpoint"] | {"firm": bundle["firm"]})
    counts = [check_chain(files, about, root, bundle) for about in bundle["chains"]]
    signed = check_signatures(files, text, lines, trusted) if lines else []
    require(signed or not trusted, "nothing here is known to be signed with the key you named")
    entries, covered = (sum(column) for column in zip(*counts)) if counts else (0, 0)  # noqa: B905
    return {
        "digest": found,
        "chains": len(counts),
        "entries": entries,
        "covered": covered,
        "signed_by": signed,
    }


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--sha256", help="digest that the exporter told you")
    parser.add_argument("--key", help="public key (name+hash+base64) that you trust")
    asked = parser.parse_args(words)
    if not asked.bundle.exists():
        say(f"{asked.bundle}: no such bundle", sys.stderr)
        return 2
    try:
        told = check(asked.bundle, asked.sha256, asked.key)
    except Refused as error:
        say(f"REFUSED: {error}", sys.stderr)
        return 3
    except Exception as error:
        say(f"REFUSED: not a bundle as it was written ({type(error).__name__}: {error})", sys.stderr)
        return 3
    say(f"{told['entries']} entries of {told['chains']} chains hold; digest {told['digest']}")
    say(f"{told['covered']} of them are in the checkpoint")
    if told["signed_by"] is None:
        say("signatures: NOT CHECKED, the package cryptography is not installed")
    elif told["signed_by"]:
        own = (
            "a key you named"
            if asked.key
            else "keys of this bundle, which prove nothing against whoever made it"
        )
        say(f"signed by {', '.join(told['signed_by'])} ({own})")
    else:
        say("no checkpoint covers them: nothing is signed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
