"""What someone who can write the artifacts folder, and does not hold the keys, may do to it.

Each attack returns the changed files, or None where the record at hand has nothing to attack that way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import orjson
from tests.proof_samples import signer
from tests.proof_world import Files, MemoryKeys, MemoryStore, World

from regime_trading.adapters.journal import files as parquet
from regime_trading.adapters.journal.reader import SealedRecord
from regime_trading.core.audit import AuditEvent, ChainEntry, SealedPart, event_of, link
from regime_trading.core.canonical import GENESIS, canonical_json, sha256_hex
from regime_trading.core.checkpoint import checkpoint_text, read_checkpoint, sign_checkpoint
from regime_trading.core.notes import Signer, sign
from regime_trading.core.record_files import RunManifest, kind_of

Rng = np.random.Generator
Attack = Callable[[World, Rng], Files | None]


def files_of(world: World, kind: str | None = None) -> list[str]:
    return [path for path in sorted(world.store.files) if kind in (None, kind_of(path)[0])]


def pick(rng: Rng, items: list[Any]) -> Any:
    return items[int(rng.integers(len(items)))] if items else None


# --- files ------------------------------------------------------------------------------------------------


def flip(world: World, rng: Rng) -> Files | None:
    """Bits of any file."""
    path = pick(rng, files_of(world))
    data = bytearray(world.store.files[path])
    for _ in range(int(rng.integers(1, 4))):
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return world.store.files | {path: bytes(data)}


def cut(world: World, rng: Rng) -> Files | None:
    """The end, or the beginning, of any file."""
    path = pick(rng, files_of(world))
    data = world.store.files[path]
    at = int(rng.integers(len(data)))
    return world.store.files | {path: data[:at] if rng.random() < 0.7 else data[at + 1 :]}


def put(world: World, rng: Rng) -> Files | None:
    """Bytes into any file."""
    path = pick(rng, files_of(world))
    data = world.store.files[path]
    at = pick(rng, [0, len(data), int(rng.integers(len(data)))])
    return world.store.files | {path: data[:at] + rng.bytes(int(rng.integers(1, 5))) + data[at:]}


def delete(world: World, rng: Rng) -> Files | None:
    """Any files."""
    gone = {pick(rng, files_of(world)) for _ in range(int(rng.integers(1, 4)))}
    return {path: data for path, data in world.store.files.items() if path not in gone}


def swap(world: World, rng: Rng) -> Files | None:
    """The contents of two files of a kind, of one chain, of two, or of two firms."""
    kind = pick(rng, ["part", "manifest", "checkpoint", "key"])
    one, two = (pick(rng, files_of(world, kind)) for _ in range(2))
    return world.store.files | {one: world.store.files[two], two: world.store.files[one]}


def copy(world: World, rng: Rng) -> Files | None:
    """A file under another name: of another run, account or firm, or one number on."""
    path = pick(rng, files_of(world))
    name = pick(
        rng,
        [
            path.replace("firm=alpha", "firm=omega"),
            path.replace("account=main", "account=other"),
            path.replace("run=", "run=x"),
            path.replace("part-", "part-9"),
            path.replace("00000000000", "00000000001"),
            path.replace(".", "0."),
            path.replace("_keys/alpha", "_keys/omega"),
            path.rpartition("/")[0] + "/readme.txt",
        ],
    )
    return world.store.files | {name: world.store.files[path]}


def rename(world: World, rng: Rng) -> Files | None:
    """As :func:`copy`, and the first one goes."""
    made = copy(world, rng)
    assert made is not None
    new = set(made) - set(world.store.files)
    if not new:
        return None
    source = next(path for path in files_of(world) if made[next(iter(new))] == made[path])
    return {path: data for path, data in made.items() if path != source}


# --- rows, with manifests that fit ------------------------------------------------------------------------


def manifests_of(world: World) -> list[RunManifest]:
    reader = SealedRecord(world.store.files)
    return [reader.manifest(path) for path in files_of(world, "manifest")]


def rows_of(world: World, part: SealedPart) -> list[ChainEntry]:
    return parquet.entries_of(parquet.decode(world.store.files[part.path]))


def rewritten(files: Files, run: RunManifest, rows: list[list[ChainEntry]]) -> Files:
    """The run with these rows in its parts, everything a manifest says made to fit."""
    made = {path: data for path, data in files.items() if path not in {part.path for part in run.parts}}
    parts = []
    for entries in rows:
        if not entries:
            continue
        data = parquet.encode(parquet.audit_table(entries))
        digest, seqs = sha256_hex(data), [entry.event.seq for entry in entries]
        folder = run.parts[0].path.rpartition("/")[0]
        path = f"{folder}/part-{seqs[0]}-{seqs[-1]}-{digest[:8]}.parquet"
        made[path] = data
        parts.append(
            SealedPart(
                path,
                len(entries),
                seqs[0],
                seqs[-1],
                digest,
                run.parts[0].schema_fingerprint,
                entries[0].prev_hash,
                entries[0].entry_hash,
                entries[-1].entry_hash,
            )
        )
    return with_parts(made, run, parts)


def with_parts(files: Files, run: RunManifest, parts: list[SealedPart]) -> Files:
    said = orjson.loads(files[run.path])
    if not parts:
        return {path: data for path, data in files.items() if path != run.path}
    return files | {run.path: canonical_json(said | {"parts": [asdict(part) for part in parts]})}


def changed_body(event: AuditEvent, rng: Rng) -> AuditEvent:
    """An event that says something else, in canonical form, its columns fitting."""
    entry = orjson.loads(event.body)
    what = pick(rng, ["rationale", "target", "actor", "config", "rule", "key", "run", "type"])
    match what:
        case "rationale":
            entry["rationale"] += "!"
        case "target":
            entry["target_w_e9"] = [*entry["target_w_e9"], 1]
        case "actor":
            entry["actor"]["id"] = "somebody"
        case "config":
            entry["config_hash"] = "d" * 64
        case "rule":
            entry["rule_id"] = "LD-01"
        case "key":
            entry["zzz"] = None
        case "run":
            entry["run_id"] = entry["run_id"] + "0"
        case _:
            entry["event_type"] = "FILL"
    return event_of(canonical_json(entry))


def edit_row(world: World, rng: Rng) -> Files | None:
    """One row, its hashes left as they are."""
    run = pick(rng, manifests_of(world))
    rows = [rows_of(world, part) for part in run.parts]
    at = int(rng.integers(len(rows)))
    row = int(rng.integers(len(rows[at])))
    entry = rows[at][row]
    column = pick(rng, ["body", "event", "prev_hash", "entry_hash", "rule_id", "ts_event_ns", "account_id"])
    other = sha256_hex(rng.bytes(8))
    match column:
        case "body":
            new = replace(entry, event=replace(entry.event, body=entry.event.body + b" "))
        case "event":
            new = replace(entry, event=changed_body(entry.event, rng))
        case "prev_hash" | "entry_hash":
            new = replace(entry, **{column: other})
        case "ts_event_ns":
            new = replace(entry, event=replace(entry.event, ts_event_ns=entry.event.ts_event_ns + 1))
        case _:
            new = replace(entry, event=replace(entry.event, **{column: "other"}))
    rows[at][row] = new
    return rewritten(world.store.files, run, rows)


def move_rows(world: World, rng: Rng) -> Files | None:
    """Rows left out, doubled, exchanged, or taken from another chain; hashes left as they are."""
    run = pick(rng, manifests_of(world))
    rows = [rows_of(world, part) for part in run.parts]
    part = rows[int(rng.integers(len(rows)))]
    row = int(rng.integers(len(part)))
    match pick(rng, ["out", "twice", "exchange", "reverse", "stranger"]):
        case "out":
            if len(part) < 2:
                return None
            del part[row]
        case "twice":
            part.insert(row, part[row])
        case "exchange":
            other = int(rng.integers(len(part)))
            part[row], part[other] = part[other], part[row]
        case "reverse":
            part.reverse()
        case _:
            stranger = pick(rng, manifests_of(world))
            part[row] = pick(rng, rows_of(world, pick(rng, list(stranger.parts))))
    return rewritten(world.store.files, run, rows)


# --- chains hashed anew -----------------------------------------------------------------------------------


def whole_chain(world: World, rng: Rng) -> tuple[list[RunManifest], list[list[list[ChainEntry]]]]:
    """One chain: its runs, and the rows of each of their parts."""
    runs = manifests_of(world)
    chain = pick(rng, sorted({run.chain for run in runs}))
    mine = sorted((run for run in runs if run.chain == chain), key=lambda run: run.parts[0].seq_from)
    return mine, [[rows_of(world, part) for part in run.parts] for run in mine]


def relinked(files: Files, runs: list[RunManifest], rows: list[list[list[ChainEntry]]]) -> Files:
    """The chain with all hashes computed again: every link holds."""
    prev = GENESIS
    for run, parts in zip(runs, rows, strict=True):
        made = []
        for part in parts:
            linked = link([entry.event for entry in part], prev)
            prev = linked[-1].entry_hash if linked else prev
            made.append(linked)
        files = rewritten(files, run, made)
    return files


def rehash(world: World, rng: Rng) -> Files | None:
    """An entry that says something else, and every hash after it made to fit: only a signature sees that."""
    runs, rows = whole_chain(world, rng)
    part = pick(rng, pick(rng, rows))
    row = int(rng.integers(len(part)))
    event = part[row].event
    entry = orjson.loads(event.body)
    what = pick(rng, ["rationale", "equity", "actor", "clock", "sequence"])
    match what:
        case "rationale":
            entry["rationale"] = "all is well"
        case "equity":
            entry["equity"] = "1.5"
        case "actor":
            entry["actor"] = {"type": "user", "id": "u-1"}
        case "clock":
            entry["ts_event_ns"] = str(event.ts_event_ns - int(rng.integers(1, 10**18)))
        case _:
            entry["seq"] = max(1, event.seq + int(rng.integers(-2, 3)))
    part[row] = replace(part[row], event=event_of(canonical_json(entry)))
    return relinked(world.store.files, runs, rows)


def rehash_without(world: World, rng: Rng) -> Files | None:
    """An entry left out, those after it numbered and hashed anew."""
    runs, rows = whole_chain(world, rng)
    part = pick(rng, pick(rng, rows))
    if len(part) < 2:
        return None
    del part[int(rng.integers(len(part)))]
    seq = 0
    for parts in rows:
        for one in parts:
            for i, entry in enumerate(one):
                seq += 1
                body = orjson.loads(entry.event.body) | {"seq": seq}
                one[i] = replace(entry, event=event_of(canonical_json(body)))
    return relinked(world.store.files, runs, rows)


def signed_size(world: World, chain: str) -> int:
    state = world.proof.state(chain.split("/")[-2])
    head = None if state is None else state.heads.get(chain)
    return 0 if head is None else head.size


def cut_tail(world: World, rng: Rng) -> Files | None:
    """The last entries of a chain, of which at least one is signed; the manifest fits."""
    runs, rows = whole_chain(world, rng)
    signed = signed_size(world, runs[0].chain)
    if signed == 0:
        return None
    return kept_to(world, runs, rows, int(rng.integers(signed)))


def kept_to(world: World, runs: list[RunManifest], rows: list[list[list[ChainEntry]]], size: int) -> Files:
    files = world.store.files
    for run, parts in zip(runs, rows, strict=True):
        files = rewritten(files, run, [[e for e in part if e.event.seq <= size] for part in parts])
    return files


def drop_part(world: World, rng: Rng) -> Files | None:
    """A part with signed entries, from the folder and the manifest."""
    run = pick(rng, manifests_of(world))
    part = pick(rng, list(run.parts))
    if part.seq_from > signed_size(world, run.chain):
        return None
    files = {path: data for path, data in world.store.files.items() if path != part.path}
    return with_parts(files, run, [one for one in run.parts if one != part])


def drop_run(world: World, rng: Rng) -> Files | None:
    """A run with everything of it."""
    run = pick(rng, manifests_of(world))
    if run.parts[0].seq_from > signed_size(world, run.chain):
        return None
    gone = {run.path, *(part.path for part in run.parts)}
    return {path: data for path, data in world.store.files.items() if path not in gone}


def drop_firm(world: World, rng: Rng) -> Files | None:
    """A firm with everything of it, checkpoints and keys included."""
    firm = pick(rng, sorted({run.firm_id for run in manifests_of(world)}))
    return {path: data for path, data in world.store.files.items() if kind_of(path)[1] != firm}


def edit_manifest(world: World, rng: Rng) -> Files | None:
    """One field of a manifest, in canonical form."""
    path = pick(rng, files_of(world, "manifest"))
    said = orjson.loads(world.store.files[path])
    at = said if rng.random() < 0.3 else pick(rng, said["parts"])
    name = pick(rng, sorted(at))
    value = at[name]
    at[name] = value + 1 if isinstance(value, int) else [] if isinstance(value, list) else f"{value}0"
    if rng.random() < 0.1:
        said["note"] = "harmless"
    return world.store.files | {path: canonical_json(said)}


# --- checkpoints ------------------------------------------------------------------------------------------


def logs_of(world: World) -> dict[str, list[str]]:
    logs: dict[str, list[str]] = {}
    for path in files_of(world, "checkpoint"):
        logs.setdefault(kind_of(path)[1], []).append(path)
    return logs


def drop_checkpoints(world: World, rng: Rng) -> Files | None:
    """One of them, or all from one on, or all."""
    paths = pick(rng, list(logs_of(world).values()))
    at = int(rng.integers(len(paths)))
    gone = set(pick(rng, [paths[at : at + 1], paths[at:], paths]))
    return {path: data for path, data in world.store.files.items() if path not in gone}


def resign(world: World, rng: Rng) -> Files | None:
    """A checkpoint that says something else, signed by a key of the attacker's."""
    path = pick(rng, files_of(world, "checkpoint"))
    firm = kind_of(path)[1]
    found, _ = read_checkpoint(world.store.files[path], firm, path)
    change: dict[str, Any] = pick(
        rng,
        [
            {},
            {"ts_ns": found.ts_ns + 1},
            {"entries": found.entries + 1},
            {"root": rng.bytes(32)},
            {"key": signer(99, firm).public},
            {"chains": found.chains[:-1]},
        ],
    )
    made = replace(found, **change)
    return world.store.files | {path: sign_checkpoint(made, signer(99, firm))}


def restate(world: World, rng: Rng) -> Files | None:
    """A checkpoint that says something else, under the signatures it had."""
    path = pick(rng, files_of(world, "checkpoint"))
    firm, note = kind_of(path)[1], world.store.files[path]
    found, _ = read_checkpoint(note, firm, path)
    made = replace(
        found,
        **pick(rng, [{"seq": found.seq + 1}, {"size": found.size + 1}, {"prev": "f" * 64}, {"ts_ns": 1}]),
    )
    return world.store.files | {path: checkpoint_text(made) + note[note.rindex(b"\n\n") + 1 :]}


def extra_signature(world: World, rng: Rng) -> Files | None:
    """A signature line more: of another key, or twice the same."""
    path = pick(rng, files_of(world, "checkpoint"))
    note = world.store.files[path]
    text, lines = note[: note.rindex(b"\n\n") + 1], note[note.rindex(b"\n\n") + 2 :]
    other = sign(text, [signer(99, kind_of(path)[1])])[len(text) + 1 :]
    return world.store.files | {path: note + pick(rng, [other, lines])}


def add_checkpoint(world: World, rng: Rng) -> Files | None:
    """One more, made from what is there, signed by a key of the attacker's that it introduces or does not."""
    firm = pick(rng, sorted(logs_of(world)))
    thief = Thief(world, firm)
    thief.files = dict(world.store.files)
    return thief.one_more(introduce=rng.random() < 0.5)


class Thief:
    """Somebody with all the code and none of the keys."""

    def __init__(self, world: World, firm: str) -> None:
        self.firm, self.files, self.own = firm, dict(world.store.files), signer(99, firm)

    def one_more(self, *, introduce: bool) -> Files:
        paths = sorted(p for p in self.files if kind_of(p) == ("checkpoint", self.firm))
        last, note = read_checkpoint(self.files[paths[-1]], self.firm, "")
        made = replace(
            last,
            seq=last.seq + 1,
            prev=sha256_hex(note.text),
            chains=(),
            key=self.own.public if introduce else None,
        )
        path = paths[-1].replace(f"{last.seq:012d}", f"{made.seq:012d}")
        return self.files | {path: sign_checkpoint(made, self.own)}


class ThiefsKeys(MemoryKeys):
    def create(self, firm_id: str) -> Signer:
        self.held.setdefault(firm_id, []).append(signer(99, firm_id))
        return self.held[firm_id][-1]


def new_past(world: World, rng: Rng) -> Files | None:
    """A chain rewritten, and every checkpoint of its firm made anew under a key of the attacker's."""
    changed = rehash(world, rng) if rng.random() < 0.7 else dict(world.store.files)
    assert changed is not None
    firm = pick(rng, sorted(logs_of(world)))
    forged = World(store=MemoryStore(), keys=ThiefsKeys())
    forged.store.files = {
        path: data
        for path, data in changed.items()
        if not (kind_of(path)[0] in ("checkpoint", "key") and kind_of(path)[1] == firm)
    }
    forged.new_process().checkpoint(firm)
    return forged.store.files


def other_key(world: World, rng: Rng) -> Files | None:
    """A published key exchanged for the attacker's, or one more beside it."""
    path = pick(rng, files_of(world, "key"))
    firm = kind_of(path)[1]
    key = signer(99, firm).public
    beside = f"audit/_keys/{firm}/{key.key_hash}.pub"
    return world.store.files | {pick(rng, [path, beside]): f"{key.vkey}\n".encode()}


ATTACKS: tuple[Attack, ...] = (
    flip, cut, put, delete, swap, copy, rename, edit_row, move_rows, rehash, rehash_without, cut_tail, drop_part,
    drop_run, drop_firm, edit_manifest, drop_checkpoints, resign, restate, extra_signature, add_checkpoint,
    new_past, other_key,
)  # fmt: skip
