import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import type { Plugin } from "vite";

/** Which files a build consists of; the budget reads it, and the next build. */
export const MANIFEST = ".vite/manifest.json";
const TEXT = /\.(js|css|html|svg|json|webmanifest|txt)$/;

/** The desk, the letters and the page of the address (`public/first.js`) are on their way before the first module has run. */
export function early(): Plugin {
  return {
    name: "early",
    apply: "build",
    transformIndexHtml: {
      order: "post",
      handler(page, { bundle }) {
        const all = Object.values(bundle ?? {});
        const chunks = new Map(all.flatMap((one) => (one.type === "chunk" ? [[one.fileName, one] as const] : [])));
        const closure = (name: string, seen: Set<string>): Set<string> => {
          if (seen.has(name)) return seen;
          seen.add(name);
          for (const next of chunks.get(name)?.imports ?? []) closure(next, seen);
          return seen;
        };
        const entry = new Set<string>();
        const desk = new Set<string>();
        for (const [name, chunk] of chunks) {
          if (chunk.isEntry) closure(name, entry);
          if (chunk.facadeModuleId?.includes("routes/_desk.tsx")) closure(name, desk);
        }
        const known = new Set([...entry, ...desk]);
        const pages: Record<string, string[]> = {};
        for (const [name, chunk] of chunks) {
          const own = /routes\/_desk\/([a-z]+)(?:\.index)?\.tsx\?tsr-split=component/.exec(
            chunk.facadeModuleId ?? "",
          )?.[1];
          if (own === undefined) continue;
          pages[own] = [...closure(name, new Set())].filter((one) => !known.has(one)).map((one) => `/${one}`);
        }
        const fonts = all.map((one) => one.fileName).filter((name) => name.endsWith(".woff2"));
        const tags = [
          ...fonts.map((name) => ({
            tag: "link",
            attrs: { rel: "preload", as: "font", type: "font/woff2", crossorigin: true, href: `/${name}` },
            injectTo: "head" as const,
          })),
          ...[...desk]
            .filter((name) => !entry.has(name))
            .map((name) => ({
              tag: "link",
              attrs: { rel: "modulepreload", crossorigin: true, href: `/${name}` },
              injectTo: "head" as const,
            })),
        ];
        const html = page.replace('name="pages" content="{}"', `name="pages" content='${JSON.stringify(pages)}'`);
        return { html, tags };
      },
    },
  };
}

/** Files of the build before stay beside the new ones for one release: whoever has its pages open still needs them. */
export function kept(out: string): Plugin {
  const before = new Map<string, Buffer>();
  return {
    name: "kept",
    apply: "build",
    buildStart() {
      before.clear();
      if (!existsSync(join(out, MANIFEST))) return;
      type Chunk = { file: string; css?: string[]; assets?: string[] };
      const chunks: Chunk[] = Object.values(JSON.parse(readFileSync(join(out, MANIFEST), "utf8")));
      for (const name of chunks.flatMap((one) => [one.file, ...(one.css ?? []), ...(one.assets ?? [])])) {
        if (existsSync(join(out, name))) before.set(name, readFileSync(join(out, name)));
      }
    },
    closeBundle: {
      sequential: true,
      order: "post", // the worker has been made: what it keeps is the new build alone
      handler() {
        for (const [name, data] of before) {
          const path = join(out, name);
          if (existsSync(path)) continue;
          mkdirSync(dirname(path), { recursive: true });
          writeFileSync(path, data);
        }
      },
    },
  };
}

/** Twins that the server sends as they are, made after everything else is written. */
export function compressed(out: string): Plugin {
  return {
    name: "compressed",
    apply: "build",
    enforce: "post",
    closeBundle: {
      sequential: true,
      order: "post",
      handler() {
        for (const entry of readdirSync(out, { recursive: true, withFileTypes: true })) {
          if (!entry.isFile() || !TEXT.test(entry.name)) continue;
          const path = join(entry.parentPath, entry.name);
          const data = readFileSync(path);
          if (data.length < 1024) continue;
          writeFileSync(`${path}.br`, brotliCompressSync(data));
          writeFileSync(`${path}.gz`, gzipSync(data, { level: 9 }));
        }
      },
    },
  };
}
