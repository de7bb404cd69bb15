import type { Path } from "./yaml-place";

type Schema = { readonly [name: string]: unknown };
export type Doc = { type: string; unit: string; standard: string; said: string };
export type KeyOption = { name: string; required: boolean; doc: Doc };
export type ValueOption = { text: string; detail: string };

/** Every schema a value may follow: references followed, alternatives apart; what stands beside them goes with each. */
function open(root: Schema, node: unknown): Schema[] {
  if (!isSchema(node)) return [];
  const { $ref, anyOf, ...own } = node;
  const inner =
    typeof $ref === "string"
      ? open(root, (root.$defs as Schema | undefined)?.[$ref.slice($ref.lastIndexOf("/") + 1)])
      : Array.isArray(anyOf)
        ? anyOf.flatMap((one) => open(root, one))
        : [{}];
  return inner.map((one) => ({ ...one, ...own }));
}

function isSchema(found: unknown): found is Schema {
  return typeof found === "object" && found !== null && !Array.isArray(found);
}

function openAt(root: Schema, path: Path): Schema[] {
  let now = open(root, root);
  for (const step of path) {
    now = now.flatMap((one) => {
      if (typeof step === "string") {
        return open(root, (one.properties as Schema | undefined)?.[step] ?? one.additionalProperties);
      }
      return open(root, (one.prefixItems as unknown[] | undefined)?.[step] ?? one.items);
    });
  }
  return now;
}

/** Keys that a mapping at a path may have beside those it has. */
export function keysAt(root: unknown, path: Path, taken: readonly string[] = []): KeyOption[] {
  if (!isSchema(root)) return [];
  const found = new Map<string, KeyOption>();
  for (const one of openAt(root, path)) {
    const required = new Set((one.required as string[] | undefined) ?? []);
    for (const [name, node] of Object.entries((one.properties as Schema | undefined) ?? {})) {
      if (taken.includes(name) || found.has(name)) continue;
      found.set(name, { name, required: required.has(name), doc: docOf(open(root, node)) });
    }
  }
  return [...found.values()];
}

/** Values that can be named at a path: those of a list, switches, the one that holds where nothing is said. */
export function valuesAt(root: unknown, path: Path): ValueOption[] {
  if (!isSchema(root)) return [];
  const found = new Map<string, ValueOption>();
  const add = (value: unknown, detail = "") => {
    const text = typeof value === "string" && /^[\d.]+$/.test(value) ? `"${value}"` : String(value);
    if (!found.has(text)) found.set(text, { text, detail });
  };
  const all = openAt(root, path);
  for (const one of all) {
    if (["string", "number", "boolean"].includes(typeof one.default)) add(one.default, "where nothing is said");
  }
  for (const one of all) {
    for (const value of (one.enum as unknown[] | undefined) ?? []) add(value);
    if (one.const !== undefined) add(one.const);
    if (one.type === "boolean") for (const value of [true, false]) add(value);
    if (one.type === "null") add("null", "nothing");
  }
  return [...found.values()];
}

/** What the schema says of the key at the end of a path; null where it knows none. */
export function docAt(root: unknown, path: Path): Doc | null {
  const found = isSchema(root) ? openAt(root, path) : [];
  return found.length === 0 ? null : docOf(found);
}

const TYPES: Record<string, string> = {
  integer: "whole number",
  string: "text",
  boolean: "true or false",
  array: "list",
  object: "mapping",
};

function docOf(all: readonly Schema[]): Doc {
  const types = new Set<string>();
  for (const one of all) {
    const named = (one.enum as unknown[] | undefined) ?? (one.const === undefined ? [] : [one.const]);
    if (named.length > 0) for (const value of named) types.add(String(value));
    else if (typeof one.type === "string") types.add(TYPES[one.type] ?? one.type);
  }
  if (types.has("number") || types.has("whole number")) types.delete("text"); // decimal text
  const said = all.map((one) => one.description).filter((one): one is string => typeof one === "string");
  const standard = all.map((one) => one.default).find((one) => one !== undefined && !isSchema(one));
  return {
    type: [...types].join(" or "),
    unit: String(all.find((one) => one.unit)?.unit ?? ""),
    standard: standard === undefined ? "" : typeof standard === "string" ? standard : JSON.stringify(standard),
    said: (said[0] ?? "").replaceAll("``", "").replaceAll(/\s+/g, " "),
  };
}
