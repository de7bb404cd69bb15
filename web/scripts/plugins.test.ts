// @vitest-environment node
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "vite";
import { expect, it } from "vitest";
import { kept, MANIFEST } from "./plugins";

it("files of the build before stay for one release, those before it go", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kept-"));
  const out = join(folder, "out");
  mkdirSync(join(folder, "src"));
  writeFileSync(join(folder, "index.html"), '<script type="module" src="/src/main.js"></script>');
  const built = async (text: string): Promise<string> => {
    writeFileSync(join(folder, "src/main.js"), `console.log(${JSON.stringify(text)});`);
    await build({
      configFile: false,
      root: folder,
      logLevel: "silent",
      plugins: [kept(out)],
      build: { outDir: out, emptyOutDir: true, manifest: MANIFEST },
    });
    return join(out, JSON.parse(readFileSync(join(out, MANIFEST), "utf8"))["index.html"].file);
  };
  const first = await built("one");
  const second = await built("two");
  expect([first, second].map((one) => existsSync(one))).toEqual([true, true]);
  expect(readFileSync(first, "utf8")).toContain("one");
  const third = await built("three");
  expect([first, second, third].map((one) => existsSync(one))).toEqual([false, true, true]);
  await built("three"); // the same again is a release too: what came before it is the same
  expect([second, third].map((one) => existsSync(one))).toEqual([false, true]);
  rmSync(folder, { recursive: true });
});
