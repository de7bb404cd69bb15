// @vitest-environment node
import { expect, it } from "vitest";
import { budget, closure, table } from "./budget.mjs";

const page = (name) => `src/routes/${name}.tsx?tsr-split=component${name === "_desk" ? "---loader" : ""}`;
const chunk = (file, more = {}) => ({ file: `assets/${file}.js`, ...more });
const MANIFEST = {
  "index.html": chunk("index", { isEntry: true, imports: ["_frame"], dynamicImports: [page("_desk")], css: ["a.css"] }),
  _frame: chunk("frame"),
  _Confirm: chunk("Confirm"),
  [page("_desk")]: chunk("desk", { imports: ["_frame"], dynamicImports: ["src/shell/Palette.tsx", "_Confirm"] }),
  [page("_desk/overview")]: chunk("overview", { imports: ["_frame"], dynamicImports: ["src/Chart.tsx"] }),
  [page("_desk/configs.index")]: chunk("configs", {
    imports: ["_frame", "_Confirm"],
    dynamicImports: ["src/Editor.tsx"],
  }),
  "src/shell/Palette.tsx": chunk("palette", { imports: [page("_desk")] }),
  "src/Chart.tsx": chunk("chart"),
  "src/Editor.tsx": chunk("editor"),
};
const KIB = 1024;
const sizes = {
  index: 10,
  frame: 90,
  desk: 20,
  overview: 5,
  chart: 30,
  editor: 400,
  "a.css": 6,
};
const nameOf = (file) => file.replace("assets/", "").replace(".js", "");
const asked = (more = {}) => {
  const sizeOf = (file) => ({ ...sizes, ...more })[nameOf(file)] * KIB || KIB;
  return budget(MANIFEST, { sizeOf, packedOf: sizeOf, precache: 900 * KIB });
};
const is = (rows, name) => rows.find((row) => row.name.startsWith(name))?.is;

it("counts what comes with a page at once and after it, each file once, dialogs apart", () => {
  const rows = asked();
  expect(is(rows, "entry")).toBe(100);
  expect(is(rows, "first page")).toBe(155); // index, frame, desk, overview, chart
  expect(is(rows, "/configs")).toBe(522); // with its editor and the dialog it has open; not the palette
  expect(is(rows, "the palette")).toBe(1);
  expect(is(rows, "largest")).toBe(400);
  expect(is(rows, "styles")).toBe(6);
});

it("names what is above its goal", () => {
  const over = asked({ frame: 130 }).filter((row) => row.is > (row.gate ?? row.goal ?? Number.POSITIVE_INFINITY));
  expect(over.map((row) => row.name)).toContain("entry, scripts in gzip");
  expect(table(asked({ frame: 130 }))).toMatch(/OVER +entry/);
  expect(table(asked())).not.toMatch(/OVER +entry/);
});

it("a chunk that is not in the build is no zero", () => {
  expect(() => closure(MANIFEST, ["src/gone.tsx"])).toThrow("the build has no src/gone.tsx");
  const { [page("_desk/overview")]: _, ...rest } = MANIFEST;
  expect(() => budget(rest, { sizeOf: () => 1, packedOf: () => 1, precache: 1 })).toThrow("no page _desk/overview");
});
