// What a build costs to load, beside its goals and FreqUI's: reads Vite's manifest and the files, and fails above a goal.
//   node scripts/budget.mjs [folder of a build]
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";

const KIB = 1024;
const OUT = fileURLToPath(new URL("../../src/regime_trading/web", import.meta.url));
/** What is shown of a route: its component, and the loader where that comes with it. */
function shown(manifest, route) {
  const key = Object.keys(manifest).find((one) => one.startsWith(`src/routes/${route}.tsx?tsr-split=component`));
  if (key === undefined) throw new Error(`the build has no page ${route}`);
  return key;
}

/** Files that come with some chunks: theirs, and what they import at once. */
export function closure(manifest, keys, seen = new Set()) {
  for (const key of keys) {
    const chunk = manifest[key];
    if (chunk === undefined) throw new Error(`the build has no ${key}`);
    if (seen.has(key)) continue;
    seen.add(key);
    closure(manifest, chunk.imports ?? [], seen);
  }
  return seen;
}

/** Every chunk that a chunk may load, at once or later, apart from whole pages. */
function withLater(manifest, keys, seen = new Set()) {
  for (const key of closure(manifest, keys)) {
    if (seen.has(key)) continue;
    seen.add(key);
    const later = manifest[key].isEntry ? [] : (manifest[key].dynamicImports ?? []);
    withLater(manifest, later, seen);
  }
  return seen;
}

/**
 * Goal by goal (`gate`: what fails, where the goal is not reached yet): what it is, what it may be, what it is here, FreqUI's figure (7a6dc577), and the unit.
 * `sizeOf(file)` is its length, `packedOf(file)` its length in gzip.
 */
export function budget(manifest, { sizeOf, packedOf, precache }) {
  const files = (keys) => [...new Set([...keys].map((key) => manifest[key].file))].filter((one) => one.endsWith(".js"));
  const packed = (keys) => files(keys).reduce((sum, one) => sum + packedOf(one), 0) / KIB;
  const all = Object.values(manifest).map((one) => one.file);
  const scripts = [...new Set(all)].filter((one) => one.endsWith(".js"));
  const styles = new Set(Object.values(manifest).flatMap((one) => one.css ?? []));
  const page = (name) => [shown(manifest, "_desk"), shown(manifest, `_desk/${name}`)];
  const first = withLater(manifest, ["index.html", ...page("overview")]);
  const dialogs = ["src/features/Confirm.tsx", "_Confirm"];
  const isDialog = (key) => dialogs.some((one) => key.startsWith(one));
  const without = new Set([...first].filter((key) => !isDialog(key) && key !== "src/shell/Palette.tsx"));
  const beside = (keys, others) => new Set([...keys].filter((key) => !others.has(key)));
  const desk = closure(manifest, ["index.html", shown(manifest, "_desk")]);
  const [largest] = scripts.map((one) => [sizeOf(one) / KIB, one]).sort(([a], [b]) => b - a);
  return [
    { name: "entry, scripts in gzip", goal: 110, is: packed(closure(manifest, ["index.html"])), peer: 316 },
    { name: "first page with its chart, scripts in gzip", goal: 170, is: packed(without), peer: 740 },
    {
      name: "/configs with its editor, scripts in gzip",
      goal: 215,
      gate: 237, // CodeMirror with completion, lint, merge and YAML alone is 129 KiB
      is: packed(
        beside(withLater(manifest, ["index.html", ...page("configs.index")]), new Set(["src/shell/Palette.tsx"])),
      ),
      peer: null,
    },
    {
      name: "the palette, on top, scripts in gzip",
      goal: 20,
      is: packed(beside(closure(manifest, ["src/shell/Palette.tsx"]), desk)),
      peer: null,
    },
    {
      name: "all scripts in gzip",
      goal: null,
      is: scripts.reduce((sum, one) => sum + packedOf(one), 0) / KIB,
      peer: 880,
    },
    { name: `largest chunk as it is (${largest[1].replace("assets/", "")})`, goal: 500, is: largest[0], peer: null },
    {
      name: "styles in gzip",
      goal: 12,
      is: [...styles].reduce((sum, one) => sum + packedOf(one), 0) / KIB,
      peer: null,
    },
    { name: "everything the worker keeps", goal: 1536, is: precache / KIB, peer: null },
  ];
}

/** Lengths of what the worker keeps: its list is in it. */
function precacheOf(folder) {
  const text = readFileSync(join(folder, "sw.js"), "utf8");
  const urls = [...text.matchAll(/url:\s*["`']([^"`']+)["`']|"url":"([^"]+)"/g)].map((one) => one[1] ?? one[2]);
  const found = [...new Set(urls)].map((one) => join(folder, one)).filter((one) => existsSync(one));
  if (found.length === 0) throw new Error("the worker keeps nothing");
  return found.reduce((sum, one) => sum + readFileSync(one).length, 0);
}

export function measured(folder) {
  const manifest = JSON.parse(readFileSync(join(folder, ".vite/manifest.json"), "utf8"));
  const read = (file) => readFileSync(join(folder, file));
  return budget(manifest, {
    sizeOf: (file) => read(file).length,
    packedOf: (file) => gzipSync(read(file), { level: 9 }).length,
    precache: precacheOf(folder),
  });
}

const isOver = (row) => row.goal !== null && row.is > (row.gate ?? row.goal);

export function table(rows, unit = "KiB") {
  const text = (value) => (value === null ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`);
  const cells = rows.map((row) => [
    isOver(row) ? "OVER" : row.goal !== null && row.is > row.goal ? "missed" : "",
    row.name,
    row.goal === null ? "–" : `≤ ${row.goal}`,
    `${row.is.toFixed(1)} ${unit}`,
    text(row.peer),
  ]);
  const lines = [["", "what", "goal", "here", "FreqUI"], ...cells];
  const widths = lines[0].map((_, n) => Math.max(...lines.map((line) => line[n].length)));
  return lines
    .map((line) => line.map((cell, n) => (n > 1 ? cell.padStart(widths[n]) : cell.padEnd(widths[n]))).join("  "))
    .join("\n");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const folder = process.argv.slice(2).find((one) => !one.startsWith("--")) ?? OUT;
  if (!existsSync(join(folder, ".vite/manifest.json"))) {
    console.log("the command center is not built (make web): what it costs to load is NOT checked");
    process.exit(0);
  }
  const rows = measured(folder);
  const over = rows.filter(isOver);
  if (over.length > 0 || !process.argv.includes("--quiet")) console.log(table(rows));
  if (over.length > 0) {
    console.error(
      `\nabove the goal: ${over.map((row) => row.name).join("; ")}\n` +
        "What a route file exports besides its Route is part of the entry; what only a dialog needs is imported when it opens.",
    );
    process.exit(1);
  }
}
