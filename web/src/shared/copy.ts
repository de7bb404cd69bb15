import type { QueryClient } from "@tanstack/react-query";
import type { Schemas } from "./api/client";

/** What was shown last, kept on this device for whoever is offline: shown as a copy with its age, never as what is. */
export type Part<T = unknown> = { at: number; data: T };

const NAME = "regime";
const STORE = "copy";
const WHO = "who";
const AGAIN_MS = 10_000;
export const OLDEST_MS = 24 * 3_600_000;
/** Queries that are kept, by the first part of their key and how many parts it has. */
const KEPT: Record<string, number> = { accounts: 2, regimes: 2, portfolio: 3 };

export type Shelf = {
  get: (key: string) => Promise<unknown>;
  put: (key: string, value: unknown) => Promise<void>;
  clear: () => Promise<void>;
  all: () => Promise<[string, unknown][]>;
};

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

let database: Promise<IDBDatabase> | undefined;

async function opened(mode: IDBTransactionMode): Promise<IDBObjectStore> {
  database ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    done<IDBDatabase>(request).then(resolve, reject);
  });
  return (await database).transaction(STORE, mode).objectStore(STORE);
}

const device: Shelf = {
  get: async (key) => done((await opened("readonly")).get(key)),
  put: async (key, value) => void (await done((await opened("readwrite")).put(value, key))),
  clear: async () => void (await done((await opened("readwrite")).clear())),
  all: async () => {
    const store = await opened("readonly");
    const [keys, values] = await Promise.all([done(store.getAllKeys()), done(store.getAll())]);
    return keys.map((key, n) => [String(key), values[n]]);
  },
};

/** Of one person with one set of rights; whatever ends or changes those ends it. */
export class Copies {
  private who: string | null = null;
  private readonly kept = new Map<string, number>();
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly shelf: Shelf = device,
    private readonly now: () => number = Date.now,
  ) {}

  /** Keeps what the server answers, from now on. */
  follow(queries: QueryClient): () => void {
    return queries.getQueryCache().subscribe((event) => {
      if (event.type !== "updated") return;
      const { queryKey, state } = event.query;
      const [about] = queryKey as string[];
      if (event.action.type === "success" && about === "me") this.belongs(state.data as Schemas["MeOut"]);
      else if (event.action.type === "success" && KEPT[about ?? ""] === queryKey.length) {
        this.keep((queryKey as string[]).join("/"), state.data);
      }
    });
  }

  belongs(me: Schemas["MeOut"]): void {
    const who = rightsOf(me);
    if (who === this.who) return;
    this.who = who;
    this.kept.clear();
    void this.next(async () => {
      if ((await this.shelf.get(WHO)) === who) return;
      await this.shelf.clear();
      await this.shelf.put(WHO, who);
    });
  }

  keep(key: string, data: unknown): void {
    const at = this.now();
    if (this.who === null || at - (this.kept.get(key) ?? 0) < AGAIN_MS) return;
    this.kept.set(key, at);
    const who = this.who;
    void this.next(async () => {
      if (this.who === who) await this.shelf.put(key, { at, data } satisfies Part);
    });
  }

  /** Signed out, or about to be. */
  forget(): Promise<void> {
    this.who = null;
    this.kept.clear();
    return this.next(() => this.shelf.clear());
  }

  /** What there is, by key; nothing that is older than a day. */
  async read(): Promise<Map<string, Part>> {
    await this.last;
    try {
      const parts = (await this.shelf.all()).filter(([key]) => key !== WHO) as [string, Part][];
      const young = parts.filter(([, { at }]) => this.now() - at < OLDEST_MS);
      if (young.length < parts.length) await this.forget();
      return young.length < parts.length ? new Map() : new Map(young);
    } catch {
      return new Map();
    }
  }

  /** One thing at a time; storage that is off keeps nothing. */
  private next(what: () => Promise<void>): Promise<void> {
    const now = this.last.then(what).catch(() => undefined);
    this.last = now;
    return now;
  }
}

/** Who somebody is and what they may, without what a proof of identity changes. */
function rightsOf(me: Schemas["MeOut"]): string {
  const held = me.permissions.map((one) => [one.firm, one.permission, one.accounts]);
  return JSON.stringify([me.user_id, me.roles, held]);
}

export const copies = new Copies();
