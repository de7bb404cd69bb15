// The types of the API, from its own document: descriptions and examples stay there.
import { readFileSync, writeFileSync } from "node:fs";
import openapiTS, { astToString } from "openapi-typescript";

const AT = new URL("../src/shared/api/schema.d.ts", import.meta.url);
const DROPPED = new Set(["examples", "example", "description", "summary", "title"]);

function bare(node, inNames = false) {
  if (Array.isArray(node)) return node.map((one) => bare(one));
  if (node === null || typeof node !== "object") return node;
  const kept = Object.entries(node).filter(
    ([key, value]) => inNames || !DROPPED.has(key) || (typeof value === "object" && key === "title"),
  );
  return Object.fromEntries(kept.map(([key, value]) => [key, bare(value, key === "properties" || key === "schemas")]));
}

const document = bare(JSON.parse(readFileSync(process.argv[2] ?? 0, "utf8")));
const text = `// Made from the API's own document by \`make web-types\`. Not to be edited.\n\n${astToString(await openapiTS(document))}`;
if (process.argv.includes("--check")) {
  if (readFileSync(AT, "utf8") !== text) {
    console.error("src/shared/api/schema.d.ts is not what the API says: run `make web-types`");
    process.exit(1);
  }
} else {
  writeFileSync(AT, text);
}
