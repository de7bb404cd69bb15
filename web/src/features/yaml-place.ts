import { yamlLanguage } from "@codemirror/lang-yaml";

/** Keys and positions in lists, from the top of a document. */
export type Path = readonly (string | number)[];
export type Place = {
  /** The mapping or list something is typed in, or the key whose value it is. */
  path: Path;
  at: "key" | "value";
  /** Keys that the mapping has already. */
  taken: readonly string[];
  from: number;
  to: number;
  /** Whether a colon follows. */
  keyed: boolean;
};

type Node = ReturnType<ReturnType<typeof yamlLanguage.parser.parse>["resolveInner"]>;

const HERE = "qqhereqq";

/** Where a caret is in a document that somebody is in the middle of writing; null in a comment. */
export function placeAt(text: string, caret: number): Place | null {
  const from = caret - (/[\w.-]*$/.exec(text.slice(0, caret))?.[0].length ?? 0);
  const to = caret + (/^[\w.-]*/.exec(text.slice(caret))?.[0].length ?? 0);
  const before = text.slice(text.lastIndexOf("\n", from - 1) + 1, from);
  const after = text.slice(to).split("\n", 1)[0] ?? "";
  const alone = /^ *(- +)*$/.test(before) && /^\s*(#.*)?$/.test(after);
  const probe = `${text.slice(0, from)}${HERE}${alone ? ": " : ""}${text.slice(to)}`;
  const found = yamlLanguage.parser.parse(probe).resolveInner(from + 1);
  if (found.name === "Comment") return null;
  const { path, owner, inKey } = climb(probe, found);
  const keyed = /^\s*:(\s|$)/.test(after);
  const taken = inKey && owner?.parent ? keysOf(probe, owner.parent).filter((one) => one !== HERE) : [];
  return { path, at: inKey || owner === null ? "key" : "value", taken, from, to, keyed };
}

/** The key that is at a position, or whose plain value is. */
export function keyAt(text: string, at: number): { path: Path; from: number; to: number } | null {
  const tree = yamlLanguage.parser.parse(text);
  for (const side of [1, -1] as const) {
    const node = tree.resolveInner(at, side);
    const key = nearest(node, "Pair")?.getChild("Key");
    if (!key || /Mapping|Sequence|Document|Stream|Comment/.test(node.name)) continue;
    return { path: [...climb(text, key).path, nameOf(text, key)], from: key.from, to: key.to };
  }
  return null;
}

function climb(text: string, from: Node): { path: Path; owner: Node | null; inKey: boolean } {
  const path: (string | number)[] = [];
  let owner: Node | null = null;
  let inKey = false;
  for (let node: Node | null = from, child: Node | null = null; node !== null; child = node, node = node.parent) {
    if (node.name === "Pair") {
      const key = node.getChild("Key");
      if (owner === null) {
        owner = node;
        inKey = child?.name === "Key" || node === from;
        if (inKey) continue;
      }
      if (key) path.unshift(nameOf(text, key));
    }
    if (node.name === "Item") {
      owner ??= node;
      path.unshift((node.parent?.getChildren("Item") ?? []).findIndex((one) => one.from === node?.from));
    }
  }
  return { path, owner, inKey };
}

function nearest(from: Node, name: string): Node | null {
  for (let node: Node | null = from; node !== null; node = node.parent) if (node.name === name) return node;
  return null;
}

function keysOf(text: string, mapping: Node): string[] {
  return mapping.getChildren("Pair").flatMap((pair) => {
    const key = pair.getChild("Key");
    return key ? [nameOf(text, key)] : [];
  });
}

function nameOf(text: string, key: Node): string {
  return text.slice(key.from, key.to).replace(/^(["'])(.*)\1$/, "$2");
}
